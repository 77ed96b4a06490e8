"""`peftrec completion bash|zsh|fish`: the script by which a shell asks this program how a command goes on."""

from peftrec.cli.arguments import Grammar, read_arguments

HELP = """usage: peftrec completion bash|zsh|fish

Prints the script by which a shell completes verbs, flags, groups, options, keys, values, and folders of runs for run=.
In ~/.bashrc or ~/.zshrc (there below compinit):

      source <(peftrec completion bash)      # or zsh

and for fish, once:

      peftrec completion fish > ~/.config/fish/completions/peftrec.fish

The script knows nothing itself, so that it stays good when peftrec is updated. Folders that --config-dir names are not
looked into.

examples:
  peftrec completion bash
  peftrec completion zsh
  peftrec completion fish
"""
WORDS = "words"
"""What the scripts say to ask for completions: `peftrec completion words -- train strat`."""
# Bash takes = and : for ends of words, so that only what is behind the last of them may be answered.
BASH = r"""_peftrec() {
    local line="${COMP_LINE:0:COMP_POINT}" words current found
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[-1]}"
    mapfile -t COMPREPLY < <("${words[0]}" completion words -- "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
    COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*[=:]}"}"}")
}
complete -o bashdefault -o default -F _peftrec peftrec
"""
ZSH = r"""#compdef peftrec
_peftrec() {
    local -a found open whole
    found=("${(@f)$("${words[1]}" completion words -- "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    found=(${found:#})
    open=(${(M)found:#*[=.]}) whole=(${found:#*[=.]})
    if (( ! $#found )); then
        [[ $PREFIX == *=* ]] && compset -P '*='
        _files
        return
    fi
    (( $#open )) && compadd -Q -S '' -a open
    (( $#whole )) && compadd -Q -a whole
}
compdef _peftrec peftrec
"""
FISH = r"""function __peftrec_words
    set -l words (commandline -opc)
    $words[1] completion words -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c peftrec -a '(__peftrec_words)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
GRAMMAR = Grammar(verb="completion", help=HELP, actions=tuple(SCRIPTS), leaves_others=True, needs_words=True)


def main(arguments: list[str]) -> int:
    """Print a script, or what completes the words of one."""
    if arguments[:1] == [WORDS]:
        from peftrec.cli.completing import complete

        words = arguments[1:]
        print("".join(f"{word}\n" for word in complete(words[1:] if words[:1] == ["--"] else words)), end="")
        return 0
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    shell = given.only("shell: bash, zsh or fish", GRAMMAR)
    if shell not in SCRIPTS:
        from peftrec.errors import UserError, did_you_mean

        raise UserError(f"completion {shell}: {did_you_mean(shell, SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return 0
