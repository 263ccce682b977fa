#compdef gatehouse
# Completion of gatehouse for zsh. Read it from ~/.zshrc, behind compinit: source <(gatehouse completion zsh)
_gatehouse() {
	local -a found
	found=("${(@f)$("$words[1]" __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then
		_describe gatehouse found
	else
		_files
	fi
}
if [[ "$funcstack[1]" == _gatehouse ]]; then
	_gatehouse "$@"
else
	compdef _gatehouse gatehouse
fi
