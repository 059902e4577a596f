# gpu-runc takes runc's arguments: what completes those completes these.
_gpu_runc() {
    complete -p runc &>/dev/null || _completion_loader runc || true
    local completer
    completer=$(complete -p runc 2>/dev/null | sed -n 's/.* -F \([^ ]*\).*/\1/p')
    if [ -n "$completer" ]; then "$completer" runc "$2" "$3"; fi
}
complete -o default -F _gpu_runc gpu-runc
