# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_gpu_ctk_global_optspecs
    string join \n h/help V/version
end

function __fish_gpu_ctk_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_gpu_ctk_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_gpu_ctk_using_subcommand
    set -l cmd (__fish_gpu_ctk_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "cdi" -d 'List, check and resolve CDI devices'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "list" -d 'List the devices of this machine, of every vendor'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "ps" -d 'Show which container holds which GPU'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "runtime" -d 'Tell engines of gpu-runc'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "node" -d 'Install gpu-runc on a machine that runs pods, and take it away'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "system" -d 'Make device nodes, and the links to them that systemd needs'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "explain" -d 'Show what a container asks for, who may ask, what it gets, and what changes in its config.json'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "compose" -d 'Make compose files that reserve GPUs work with gpu-runc, on nerdctl, Docker Compose and podman-compose'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "config" -d 'Print, check and import the configuration file'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "doctor" -d 'Say what is wrong with this machine, and the command that mends it'
complete -c gpu-ctk -n "__fish_gpu_ctk_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and not __fish_seen_subcommand_from list generate validate resolve help" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and not __fish_seen_subcommand_from list generate validate resolve help" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and not __fish_seen_subcommand_from list generate validate resolve help" -f -a "list" -d 'List the devices that containers can ask for by name'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and not __fish_seen_subcommand_from list generate validate resolve help" -f -a "generate" -d 'Describe this machine\'s devices in a CDI file, without any vendor\'s tool'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and not __fish_seen_subcommand_from list generate validate resolve help" -f -a "validate" -d 'Check CDI files and say everything that is wrong with them'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and not __fish_seen_subcommand_from list generate validate resolve help" -f -a "resolve" -d 'Print the container edits that devices come to, as JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and not __fish_seen_subcommand_from list generate validate resolve help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from list" -l spec-dir -d 'Look here for CDI files instead of in the configured directories; the last one counts most' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Show also the file and the CDI version of each device'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l vendor -d 'Whose devices; without it, those of every vendor that this machine has, a file for each' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l class -d 'The class in the kind of the devices, in place of the vendor\'s own' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l device -l device-id -d 'Only these devices, by any of their names' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l name-strategy -l device-name-strategy -d 'Which names the devices get; without it, all that containers can ask for' -r -f -a "index\t'`0`, and `0:1` for a part'
uuid\t'The vendor\'s UUID or unique id'
type-index\t'`gpu0`, and `mig0:1` for a part'
pci\t'The PCI address'
all\t'Every name that containers can ask for'"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l driver-root -d 'The root of the driver\'s files, in place of the configured one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l dev-root -d 'The root of the device nodes, in place of the configured one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l output -d 'Write to this file, which is replaced in one step, or to stdout (-); a name without a suffix gets one, and in a folder the file is <vendor>-<class>.json; without it, to that file in the last of the configured spec directories' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l format -d 'What to write; without it, what the name of the file says, else json for files and yaml for stdout' -r -f -a "json\t''
yaml\t''"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l hook-path -d 'The program on this machine that does in containers what files cannot say (the linker\'s cache, forward compatibility); without it, the installed gpu-runc, if any' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l no-all-device -d 'Do not add the device "all"'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l no-hooks -d 'Name no such program: programs in containers find the libraries where their image looks anyway'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l dry-run -d 'Write nothing; print what would be written, and where on stderr'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -l prune -d 'Remove the file that was written before for a vendor whose devices are gone'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from generate" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from validate" -l spec-dir -d 'Look here for CDI files instead of in the configured directories; the last one counts most' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from validate" -l json -d 'Print JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from validate" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from validate" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from resolve" -l spec-dir -d 'Look here for CDI files instead of in the configured directories; the last one counts most' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from resolve" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from resolve" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the devices that containers can ask for by name'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from help" -f -a "generate" -d 'Describe this machine\'s devices in a CDI file, without any vendor\'s tool'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from help" -f -a "validate" -d 'Check CDI files and say everything that is wrong with them'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from help" -f -a "resolve" -d 'Print the container edits that devices come to, as JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand cdi; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand list" -l vendor -d 'Only this vendor\'s' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand list" -l json -d 'Print JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand list" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand list" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand ps" -l json -d 'Print JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand ps" -l prometheus -d 'Print the text format of Prometheus, for the textfile directory of a node exporter'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand ps" -s w -l watch -d 'Show it again every two seconds'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand ps" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand ps" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and not __fish_seen_subcommand_from configure help" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and not __fish_seen_subcommand_from configure help" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and not __fish_seen_subcommand_from configure help" -f -a "configure" -d 'Register gpu-runc with an engine, or take it out again'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and not __fish_seen_subcommand_from configure help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l engine -d 'The engine; without it, the one that this machine has' -r -f -a "containerd\t''
docker\t''
crio\t''
podman\t''
k3s\t''
rke2\t''"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l config -d 'The engine\'s main file, in place of the usual one; drop-ins are looked for beside it' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l runtime-name -d 'What the engine calls the runtime' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l runtime-path -d 'The gpu-runc to start; without it, the one beside gpu-ctk, in /usr/local/bin or in /usr/bin. It has to be there, but for a --config that is not this machine\'s' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l names-dir -d 'Where to link the names; without it, /usr/local/bin, or the first directory on the daemon\'s PATH that is root\'s alone' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l restart -d 'How the engine is made to read its files again, if any changed or the daemon that runs has not loaded them' -r -f -a "none\t'Not; the command that does it is printed'
signal\t'Send SIGHUP'
systemd\t'Ask systemd'"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l set-as-default -d 'Give it also to containers that name no runtime; without this, the default stays what it is'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l pod-annotations -d 'Let pods ask by annotations gpu-runc/…, which containerd, k3s and rke2 hand on only then. CRI-O always does'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l gpus -d 'Docker: make `docker run --gpus` work, for GPUs of any vendor. Makes gpu-runc the default runtime, and links the names that Docker looks for to it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l gpus-only -d 'The same, and environment variables give no GPU: images that set NVIDIA_VISIBLE_DEVICES get one by --gpus only. Holds for all engines'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l refresh -d 'Where --gpus was given before: fit the names to the GPUs that this host has now. Elsewhere, do nothing'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l system -d 'The system\'s engine, which is root\'s'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l user -d 'The rootless engine of this user'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l unconfigure -d 'Take out what was put in before, and nothing else'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -l dry-run -d 'Write nothing; print what would change'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from configure" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from help" -f -a "configure" -d 'Register gpu-runc with an engine, or take it out again'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand runtime; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and not __fish_seen_subcommand_from install uninstall status help" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and not __fish_seen_subcommand_from install uninstall status help" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and not __fish_seen_subcommand_from install uninstall status help" -f -a "install" -d 'Install both programs, register gpu-runc with the engine, and restart it if it has to read anything anew'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and not __fish_seen_subcommand_from install uninstall status help" -f -a "uninstall" -d 'Wait for the last container that uses it, and take all of it away'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and not __fish_seen_subcommand_from install uninstall status help" -f -a "status" -d 'Say how it stands. Exit status 0 if pods can have it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and not __fish_seen_subcommand_from install uninstall status help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l host-root -d 'The machine\'s root, where this runs in a container that has it mounted' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l prefix -d 'The folder of the machine in which there is, or will be, gpu-runc/current/gpu-runc' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l engine -d 'The engine that runs pods; without it, the one that runs here' -r -f -a "containerd\t''
crio\t''
k3s\t''
rke2\t''"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l config -d 'The engine\'s main file, in place of the usual one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l runtime-name -d 'What pods call the runtime: the handler of the RuntimeClass' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l restart -d 'How the engine is made to read its files anew' -r -f -a "none\t'Not; the command that does it is printed'
signal\t'Send SIGHUP, for containerd without systemd'
systemd\t'Ask systemd'"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l wait -d 'How many seconds to wait for the engine, and for another installer' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l source -d 'The folder of gpu-runc and gpu-ctk; without it, that of this program' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l set-as-default -d 'Pods that name no runtime are expected to have it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l pod-annotations -d 'Pods are expected to ask by annotations gpu-runc/…, which containerd hands on only then. CRI-O always does'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -l stay -d 'Stay until SIGTERM when it is done, or has failed: for a DaemonSet, whose readiness is what status says'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from install" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l host-root -d 'The machine\'s root, where this runs in a container that has it mounted' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l prefix -d 'The folder of the machine in which there is, or will be, gpu-runc/current/gpu-runc' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l engine -d 'The engine that runs pods; without it, the one that runs here' -r -f -a "containerd\t''
crio\t''
k3s\t''
rke2\t''"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l config -d 'The engine\'s main file, in place of the usual one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l runtime-name -d 'What pods call the runtime: the handler of the RuntimeClass' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l restart -d 'How the engine is made to read its files anew' -r -f -a "none\t'Not; the command that does it is printed'
signal\t'Send SIGHUP, for containerd without systemd'
systemd\t'Ask systemd'"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l wait -d 'How many seconds to wait for the engine, and for another installer' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l wait-for-containers -d 'How many seconds to wait for the last container that uses it' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l set-as-default -d 'Pods that name no runtime are expected to have it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l pod-annotations -d 'Pods are expected to ask by annotations gpu-runc/…, which containerd hands on only then. CRI-O always does'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -l stay -d 'Stay until SIGTERM when it is done, or has failed: for a DaemonSet, whose readiness is what status says'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from uninstall" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l host-root -d 'The machine\'s root, where this runs in a container that has it mounted' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l prefix -d 'The folder of the machine in which there is, or will be, gpu-runc/current/gpu-runc' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l engine -d 'The engine that runs pods; without it, the one that runs here' -r -f -a "containerd\t''
crio\t''
k3s\t''
rke2\t''"
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l config -d 'The engine\'s main file, in place of the usual one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l runtime-name -d 'What pods call the runtime: the handler of the RuntimeClass' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l set-as-default -d 'Pods that name no runtime are expected to have it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l pod-annotations -d 'Pods are expected to ask by annotations gpu-runc/…, which containerd hands on only then. CRI-O always does'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l json -d 'Print JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -l gone -d 'Exit status 0 if nothing of it is left'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from status" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "install" -d 'Install both programs, register gpu-runc with the engine, and restart it if it has to read anything anew'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "uninstall" -d 'Wait for the last container that uses it, and take all of it away'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "status" -d 'Say how it stands. Exit status 0 if pods can have it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and not __fish_seen_subcommand_from create-dev-char-symlinks create-device-nodes help" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and not __fish_seen_subcommand_from create-dev-char-symlinks create-device-nodes help" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and not __fish_seen_subcommand_from create-dev-char-symlinks create-device-nodes help" -f -a "create-dev-char-symlinks" -d 'Make the links in /dev/char by which systemd finds devices, so that a reload does not take them from containers'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and not __fish_seen_subcommand_from create-dev-char-symlinks create-device-nodes help" -f -a "create-device-nodes" -d 'Make the nodes of loaded drivers that nobody has made yet, as the vendors\' own tools would'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and not __fish_seen_subcommand_from create-dev-char-symlinks create-device-nodes help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-dev-char-symlinks" -l driver-root -d 'The root of the driver\'s files, in place of the configured one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-dev-char-symlinks" -l dev-root -d 'The root of the device nodes, in place of the configured one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-dev-char-symlinks" -l dry-run -d 'Make nothing; print what would be made'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-dev-char-symlinks" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-dev-char-symlinks" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-device-nodes" -l driver-root -d 'The root of the driver\'s files, in place of the configured one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-device-nodes" -l dev-root -d 'The root of the device nodes, in place of the configured one' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-device-nodes" -l dry-run -d 'Make nothing; print what would be made'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-device-nodes" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from create-device-nodes" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from help" -f -a "create-dev-char-symlinks" -d 'Make the links in /dev/char by which systemd finds devices, so that a reload does not take them from containers'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from help" -f -a "create-device-nodes" -d 'Make the nodes of loaded drivers that nobody has made yet, as the vendors\' own tools would'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand system; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -l bundle -d 'A bundle, or its config.json' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -l env -d 'An environment variable of a container that has no bundle yet' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -l annotation -d 'An annotation of a container that has no bundle yet' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -l error -d 'What an engine printed: print the cause, and the command that fixes it' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -l system -d 'As the system\'s engine would start it, which is root\'s'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -l user -d 'As a rootless engine of this user would start it: also checks who can open the device nodes'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -l json -d 'Print JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand explain" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand compose" -l runtime -d 'The name of the runtime, as the engine knows it' -r
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand compose" -s o -l output -d 'Write to this file, which is replaced in one step, in place of stdout (-)' -r -F
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand compose" -l whole -d 'Write the complete file with its reservations turned into requests to gpu-runc, in place of an override'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand compose" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand compose" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and not __fish_seen_subcommand_from default show check import help" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and not __fish_seen_subcommand_from default show check import help" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and not __fish_seen_subcommand_from default show check import help" -f -a "default" -d 'Print the default file, with what each key means'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and not __fish_seen_subcommand_from default show check import help" -f -a "show" -d 'Print the configuration in force, and where it is from'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and not __fish_seen_subcommand_from default show check import help" -f -a "check" -d 'Say what is wrong with the file, and what would be right'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and not __fish_seen_subcommand_from default show check import help" -f -a "import" -d 'Print what NVIDIA\'s config.toml comes to; what of it is not carried over is said on stderr, key by key'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and not __fish_seen_subcommand_from default show check import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from default" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from default" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from import" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "default" -d 'Print the default file, with what each key means'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the configuration in force, and where it is from'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say what is wrong with the file, and what would be right'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "import" -d 'Print what NVIDIA\'s config.toml comes to; what of it is not carried over is said on stderr, key by key'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand doctor" -s v -l verbose -d 'Show also why each thing matters that is as it should be'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand doctor" -l json -d 'Print JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "cdi" -d 'List, check and resolve CDI devices'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "list" -d 'List the devices of this machine, of every vendor'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "ps" -d 'Show which container holds which GPU'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "runtime" -d 'Tell engines of gpu-runc'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "node" -d 'Install gpu-runc on a machine that runs pods, and take it away'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "system" -d 'Make device nodes, and the links to them that systemd needs'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "explain" -d 'Show what a container asks for, who may ask, what it gets, and what changes in its config.json'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "compose" -d 'Make compose files that reserve GPUs work with gpu-runc, on nerdctl, Docker Compose and podman-compose'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "config" -d 'Print, check and import the configuration file'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "doctor" -d 'Say what is wrong with this machine, and the command that mends it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and not __fish_seen_subcommand_from cdi list ps runtime node system explain compose config doctor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from cdi" -f -a "list" -d 'List the devices that containers can ask for by name'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from cdi" -f -a "generate" -d 'Describe this machine\'s devices in a CDI file, without any vendor\'s tool'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from cdi" -f -a "validate" -d 'Check CDI files and say everything that is wrong with them'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from cdi" -f -a "resolve" -d 'Print the container edits that devices come to, as JSON'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from runtime" -f -a "configure" -d 'Register gpu-runc with an engine, or take it out again'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "install" -d 'Install both programs, register gpu-runc with the engine, and restart it if it has to read anything anew'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "uninstall" -d 'Wait for the last container that uses it, and take all of it away'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "status" -d 'Say how it stands. Exit status 0 if pods can have it'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from system" -f -a "create-dev-char-symlinks" -d 'Make the links in /dev/char by which systemd finds devices, so that a reload does not take them from containers'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from system" -f -a "create-device-nodes" -d 'Make the nodes of loaded drivers that nobody has made yet, as the vendors\' own tools would'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "default" -d 'Print the default file, with what each key means'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the configuration in force, and where it is from'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Say what is wrong with the file, and what would be right'
complete -c gpu-ctk -n "__fish_gpu_ctk_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "import" -d 'Print what NVIDIA\'s config.toml comes to; what of it is not carried over is said on stderr, key by key'
