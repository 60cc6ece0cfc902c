# Makes the completion for bash or zsh: the functions (the last file), with the line @TABLE@ replaced by a table of all words
# to complete. The first file is `eigenscope --help=records`, the second jobs/reference.yaml. Lines of the table:
#
#   command NAME HELP        part COMMAND NAME        option PAGE NAME VALUE HELP
#   positional PAGE WORD     key NAME                 network NAME   (fields separated by tabs; VALUE is - for none)
FNR == 1 { file++ }

function add(line) {
  gsub(/'/, "'\\''", line)
  table = table line "\n"
}

# From "eigenscope merge JOB --to FILE.h5 [options]", the arguments without an option: JOB
function positionals(page, usage, n, words, i) {
  gsub(/\[[^]]*\](\.\.\.)?/, "", usage)
  sub(/^.*eigenscope/, "", usage)
  sub(/--version/, "", usage)
  n = split(usage, words, " ")
  for (i = 1; i <= n; i++) {
    if (words[i] ~ /^--/) i++
    else if (words[i] ~ /^[A-Z]/) add("positional\t" page "\t" words[i])
  }
  positional_of[page] = 1
}

file == 1 {
  split($0, field, "\t")
  if (field[1] == "network") add("network\t" field[2])
  if (field[1] == "command") add("command\t" field[2] "\t" field[4])
  if (field[1] == "page") page = field[2]
  if (field[1] == "page" && page ~ / /) add("part\t" substr(page, 1, index(page, " ") - 1) "\t" substr(page, index(page, " ") + 1))
  if (field[1] == "usage" && !(page in positional_of)) positionals(page, field[2])
  if (field[1] == "option") add("option\t" page "\t" field[2] "\t" (field[3] == "" ? "-" : field[3]) "\t" field[4])
  next
}

# Keys with a default, as train.epochs; under models and datasets only names that the job defines.
file == 2 {
  if ($0 !~ /^ *[a-z]/) next
  match($0, /^ */)
  depth = RLENGTH / 2
  key = substr($0, RLENGTH + 1)
  sub(/:.*/, "", key)
  path[depth] = key
  if (depth == 1 && $0 ~ /  # / && path[0] !~ /^(models|datasets)$/) add("key\t" path[0] "." key)
  if (depth == 0 && $0 ~ /  # /) add("key\t" key)
  next
}

$0 == "@TABLE@" { printf "%s", table; next }
{ print }
