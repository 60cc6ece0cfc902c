# Functions that write both manual pages.

# Prints prose: one line for each sentence, at most 78 characters, with roff's own characters escaped.
function say(text, words, n, i, line) {
  gsub(/\\/, "\\e", text)
  n = split(text, words, " ")
  for (i = 1; i <= n; i++) {
    if (line != "" && length(line) + length(words[i]) >= 78) {
      print guarded(line (line ~ /[.!?]$/ ? "\\&" : "")) # no end of a sentence
      line = ""
    }
    line = line (line == "" ? "" : " ") words[i]
    if (words[i] ~ /[A-Za-z0-9)`"\]][.!?]$/ && words[i + 1] ~ /^[A-Z]/) {
      print guarded(line)
      line = ""
    }
  }
  if (line != "") print guarded(line)
}
function guarded(text) { return text ~ /^[.']/ ? "\\&" text : text }
