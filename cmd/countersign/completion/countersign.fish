# fish completion of countersign; put it into ~/.config/fish/completions.
function __countersign_complete
    set -l words (commandline -opc)
    set -l lines ($words[1] __complete fish $words[2..] (commandline -ct) 2>/dev/null)
    if test "$lines[1]" = :files
        __fish_complete_path (commandline -ct)
    else if test (count $lines) -gt 0
        printf '%s\n' $lines
    end
end
complete -c countersign -f -a '(__countersign_complete)'
