# Completion of gatehouse for bash. Read it from ~/.bashrc: source <(gatehouse completion bash)
_gatehouse() {
	local IFS=$'\n'
	COMPREPLY=($("${COMP_WORDS[0]}" __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _gatehouse gatehouse
