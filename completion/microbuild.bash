# bash completion for microbuild: eval "$(microbuild completion bash)"
_microbuild() {
    local cur=$2 kind typed part line word
    local -a lines
    mapfile -t lines < <("${1/#\~/$HOME}" __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    IFS=$'\t' read -r kind typed <<<"${lines[0]-}"
    COMPREPLY=()
    # At these characters bash begins a word of its own.
    part=
    if [[ $typed == *[=:]* ]]; then
        [[ $COMP_WORDBREAKS == *=* ]] && part=${typed%"${typed##*=}"}
        [[ $COMP_WORDBREAKS == *:* && $typed == *:* ]] && part=${typed%"${typed##*[=:]}"}
    fi
    for line in "${lines[@]:1}"; do
        word=${line%%$'\t'*}
        COMPREPLY+=("${word#"$part"}")
    done
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace
    case $kind in
    files | folders)
        cur=${typed#"$part"}
        compopt -o filenames 2>/dev/null
        if [[ $kind == folders ]]; then
            mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$cur")
        else
            mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
        fi
        ;;
    esac
}
complete -o nosort -F _microbuild microbuild 2>/dev/null || complete -F _microbuild microbuild
