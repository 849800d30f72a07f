# fish completion for microbuild: microbuild completion fish > ~/.config/fish/completions/microbuild.fish
function __microbuild_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -e words[1]
    set -l lines ($program __complete words -- $words "$current" 2>/dev/null)
    set -l kind (string split -m 1 \t -- $lines[1])[1]
    set -e lines[1]
    for line in $lines
        echo $line
    end
    set -l path (string replace -r '^--[^=]*=' '' -- "$current")
    set -l prefix (string match -r '^--[^=]*=' -- "$current")
    switch $kind
        case files
            for found in (__fish_complete_path "$path")
                echo "$prefix$found"
            end
        case folders
            for found in (__fish_complete_directories "$path" '')
                echo "$prefix$found"
            end
    end
end
complete -c microbuild -f -k -a '(__microbuild_complete)'
