#compdef countersign
# zsh completion of countersign; put it in a directory of $fpath as _countersign, or source it behind compinit.
_countersign() {
    local -a lines
    lines=("${(@f)$("${(Q)words[1]}" __complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${lines[1]} == :files ]]; then
        _files
    elif [[ -n ${lines[1]} ]]; then
        _describe -V countersign lines
    fi
}
if [[ ${funcstack[1]-} == _countersign ]]; then
    _countersign "$@"
else
    compdef _countersign countersign
fi
