# Completion of eigenscope for bash: commands, options, their values, job files, files of results, networks, keys after --set.
# shellcheck disable=SC2016 # the help texts have backquotes
_eigenscope_table='
@TABLE@
'

_eigenscope_rows() { # kind [first field]: the first fields of its rows, or the other fields of those with that one
  local kind first rest
  while IFS=$'\t' read -r kind first rest; do
    [[ $kind == "$1" ]] || continue
    if [[ -z ${2-} ]]; then
      printf '%s\n' "$first"
    elif [[ $first == "$2" ]]; then
      printf '%s\n' "$rest"
    fi
  done <<<"$_eigenscope_table"
}

_eigenscope_how() { compopt -o "$1" 2>/dev/null || true; } # refused outside of a completion, as in a test

_eigenscope_names() { # suffix start: folders, and files with that suffix
  _eigenscope_how filenames
  compgen -d -- "$2"
  [[ -z $1 ]] || compgen -f -X "!*$1" -- "$2"
}

_eigenscope_values() { # what start: of an option or argument that the usage calls DIR, FILE.h5, JOB or table|json
  local IFS='|' one
  for one in $1; do
    case $one in
      JOB) _eigenscope_names .yaml "$2" ;;
      NETWORK) IFS=$'\n' compgen -W "$(_eigenscope_rows network)" -- "$2" ;;
      DIR | FOLDER) _eigenscope_names '' "$2" ;;
      *.h5 | *.safetensors) _eigenscope_names ".${one##*.}" "$2" ;;
      FILE | PATH) _eigenscope_how filenames && compgen -f -- "$2" ;;
      KEY=VALUE) _eigenscope_how nospace && IFS=$'\n' compgen -S = -W "$(_eigenscope_rows key)" -- "$2" ;;
      *[A-Z]*) ;;
      *) compgen -W "$one" -- "$2" ;;
    esac
  done
}

_eigenscope_words() { # page start before: what may stand there, behind the word BEFORE
  local page=$1 start=$2 before=$3 name value rest
  while IFS=$'\t' read -r name value rest; do
    if [[ $name == "$before" && $value != - ]]; then
      _eigenscope_values "$value" "$start"
      return
    fi
    [[ $start != -* ]] || compgen -W "$name" -- "$start"
  done < <(_eigenscope_rows option "$page")
  if [[ $start == -* ]]; then
    compgen -W --help -- "$start"
  else
    while read -r value; do _eigenscope_values "$value" "$start"; done < <(_eigenscope_rows positional "$page")
  fi
}

_eigenscope() {
  local start=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-} parts
  if [[ $start == = ]]; then # bash takes --output=x for three words
    start=
  elif [[ $before == = ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  parts=$(_eigenscope_rows part "$command")
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "$(_eigenscope_rows command) --help --version" -- "$start")
  elif [[ -n $parts ]] && ((COMP_CWORD == 2)); then
    mapfile -t COMPREPLY < <(compgen -W "$parts --help" -- "$start")
  else
    [[ -z $parts ]] || command+=" ${COMP_WORDS[2]}"
    mapfile -t COMPREPLY < <(_eigenscope_words "$command" "$start" "$before" | sort -u)
  fi
}
complete -F _eigenscope eigenscope
