# gpu-runc takes runc's arguments: what completes those completes these.
complete --command gpu-runc --wraps runc
