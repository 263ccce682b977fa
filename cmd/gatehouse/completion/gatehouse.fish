# Completion of gatehouse for fish. Put it where fish looks:
#   gatehouse completion fish > ~/.config/fish/completions/gatehouse.fish
function __gatehouse_complete
	set -l words (commandline -opc)
	set -l written (commandline -ct)
	set -l found ($words[1] __complete fish $words[2..] "$written" 2>/dev/null)
	if set -q found[1]
		printf '%s\n' $found
	else
		__fish_complete_path "$written"
	end
end
complete -c gatehouse -f -a '(__gatehouse_complete)'
