#compdef gpu-runc
# gpu-runc takes runc's arguments: what completes those completes these.
words[1]=runc
_normal
