#compdef eigenscope
# Completion of eigenscope for zsh: commands, options, their values, job files, files of results, networks, keys after --set.
_eigenscope_table='
@TABLE@
'

_eigenscope_values() { # what: of an option or argument that the usage calls DIR, FILE.h5, JOB or table|json
  local one
  for one in ${(s:|:)1}; do
    case $one in
      JOB) _files -g '*.yaml' ;;
      NETWORK) compadd -- ${(f)"$(_eigenscope_rows network)"} ;;
      DIR | FOLDER) _files -/ ;;
      *.h5 | *.safetensors) _files -g "*.${one##*.}" ;;
      FILE | PATH) _files ;;
      KEY=VALUE) compadd -S = -- ${(f)"$(_eigenscope_rows key)"} ;;
      *[A-Z]*) ;;
      *) compadd -- $one ;;
    esac
  done
}

_eigenscope_rows() { # kind [first field]: the first fields of its rows, or the other fields of those with that one
  local line
  local -a fields
  for line in ${(f)_eigenscope_table}; do
    fields=("${(@s:	:)line}")
    [[ $fields[1] == $1 ]] || continue
    if (($# == 1)); then
      print -r -- $fields[2]
    elif [[ $fields[2] == $2 ]]; then
      print -r -- ${(pj:\t:)fields[3,-1]}
    fi
  done
}

_eigenscope() {
  local command=$words[2] row value
  local -a shown parts fields
  parts=(${(f)"$(_eigenscope_rows part $command)"})
  if ((CURRENT == 2)); then
    for row in ${(f)"$(_eigenscope_rows command)"}; do shown+=("$row:$(_eigenscope_rows command $row)"); done
    _describe command shown
    compadd -- --help --version
    return
  elif (($#parts && CURRENT == 3)); then
    compadd -- $parts --help
    return
  fi
  (($#parts)) && command+=" $words[3]"
  for row in ${(f)"$(_eigenscope_rows option $command)"}; do
    fields=("${(@s:	:)row}")
    if [[ $words[CURRENT-1] == $fields[1] && $fields[2] != - ]]; then
      _eigenscope_values $fields[2]
      return
    fi
    shown+=("$fields[1]:${fields[3]//:/\\:}")
  done
  if [[ $PREFIX == -* ]]; then
    shown+=('--help:what it does, and its options')
    _describe option shown
  else
    for value in ${(f)"$(_eigenscope_rows positional $command)"}; do _eigenscope_values $value; done
  fi
}
_eigenscope "$@"
