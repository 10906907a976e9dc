# shellcheck shell=bash
# Sourced: the flags of a launch script. Needs say.sh.

# flags VALUED PLAIN WORDS...: sets the variable NAME (- is _ in it) for each --NAME=VALUE of the names
# in VALUED, and to yes for each --NAME of those in PLAIN, up to --; `rest` is what stands after it.
flags() {
  local valued=" $1 " plain=" $2 " name
  shift 2
  while [ $# -gt 0 ]; do
    name="${1%%=*}" name="${name#--}"
    case "$1" in
      --help | -h) help ;;
      --) shift && break ;;
      --*=*)
        [[ "$valued" == *" $name "* ]] || unknown_flag "$1"
        printf -v "${name//-/_}" '%s' "${1#*=}"
        ;;
      *)
        [[ "$valued" != *" $name "* ]] || die "write $1=VALUE"
        [[ "$1" == "--$name" && "$plain" == *" $name "* ]] || unknown_flag "$1"
        printf -v "${name//-/_}" yes
        ;;
    esac
    shift
  done
  # shellcheck disable=SC2034 # for the script
  rest=("$@")
}

unknown_flag() { die "unknown argument '$1': see --help; the command and its flags go after --"; }
