# Completion for fish from `eigenscope --help=records`.
BEGIN {
  FS = "\t"
  print "# Completion of eigenscope for fish: commands, options, their values, job files, files of results, networks."
  print "complete -c eigenscope -f"
  print "complete -c eigenscope -n __fish_use_subcommand -l help -d 'what the commands do'"
  print "complete -c eigenscope -n __fish_use_subcommand -l version -d 'the version'"
}
function quoted(text) {
  gsub(/\\/, "\\\\", text)
  gsub(/'/, "\\'", text)
  return "'" text "'"
}
# Returns the fish options that complete a value which the usage calls DIR, FILE.h5, JOB or table|json.
function values(what, n, words, i, out, list) {
  n = split(what, words, "|")
  for (i = 1; i <= n; i++) {
    if (words[i] == "NETWORK") list = list networks
    else if (words[i] == "JOB") out = out " -k -a '(__fish_complete_suffix .yaml)'"
    else if (words[i] ~ /\.(h5|safetensors)$/) out = out " -k -a '(__fish_complete_suffix " substr(words[i], index(words[i], ".")) ")'"
    else if (words[i] ~ /^(DIR|FOLDER)$/) out = out " -a '(__fish_complete_directories)'"
    else if (words[i] ~ /^(FILE|PATH)$/) out = out " -F"
    else if (words[i] !~ /[A-Z]/) list = list (list == "" ? "" : " ") words[i]
  }
  return out (list == "" ? "" : " -a " quoted(list))
}
function line(condition, rest) { print "complete -c eigenscope -n " quoted(condition) rest }

$1 == "network" { networks = networks (networks == "" ? "" : " ") $2 }
$1 == "command" { line("__fish_use_subcommand", " -a " $2 " -d " quoted($4)) }
$1 == "page" {
  page = $2
  used = 0
  n = split(page, words, " ")
  seen = page ~ /^--/ ? "__fish_contains_opt version" : "__fish_seen_subcommand_from " words[1]
  if (n == 2) {
    line(seen "; and test (count (commandline -opc)) -eq 2", " -a " words[2])
    seen = seen "; and __fish_seen_subcommand_from " words[2]
  }
  if (page !~ /^--/) line(seen, " -l help -d 'what it does, and its options'")
}
$1 == "usage" && !used++ {
  usage = $2
  gsub(/\[[^]]*\](\.\.\.)?/, "", usage)
  sub(/^.*eigenscope/, "", usage)
  n = split(usage, words, " ")
  for (i = 1; i <= n; i++) {
    if (words[i] ~ /^--/) i++
    else if (words[i] ~ /^[A-Z]/ && values(words[i]) != "") line(seen, values(words[i]))
  }
}
$1 == "option" {
  line(seen, " -l " substr($2, 3) ($3 == "" ? "" : (values($3) ~ / -F/ ? " -r" : " -x") values($3)) " -d " quoted($4))
}
