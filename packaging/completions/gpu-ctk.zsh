#compdef gpu-ctk

autoload -U is-at-least

_gpu-ctk() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_gpu-ctk_commands" \
"*::: :->gpu-ctk" \
&& ret=0
    case $state in
    (gpu-ctk)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-command-$line[1]:"
        case $line[1] in
            (cdi)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_gpu-ctk__subcmd__cdi_commands" \
"*::: :->cdi" \
&& ret=0

    case $state in
    (cdi)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-cdi-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
'*--spec-dir=[Look here for CDI files instead of in the configured directories; the last one counts most]:DIR:_files' \
'-v[Show also the file and the CDI version of each device]' \
'--verbose[Show also the file and the CDI version of each device]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(generate)
_arguments "${_arguments_options[@]}" : \
'*--vendor=[Whose devices; without it, those of every vendor that this machine has, a file for each]:NAME:_default' \
'--class=[The class in the kind of the devices, in place of the vendor'\''s own]:CLASS:_default' \
'*--device=[Only these devices, by any of their names]:ID:_default' \
'*--device-id=[Only these devices, by any of their names]:ID:_default' \
'*--name-strategy=[Which names the devices get; without it, all that containers can ask for]:STRATEGY:((index\:"\`0\`, and \`0\:1\` for a part"
uuid\:"The vendor'\''s UUID or unique id"
type-index\:"\`gpu0\`, and \`mig0\:1\` for a part"
pci\:"The PCI address"
all\:"Every name that containers can ask for"))' \
'*--device-name-strategy=[Which names the devices get; without it, all that containers can ask for]:STRATEGY:((index\:"\`0\`, and \`0\:1\` for a part"
uuid\:"The vendor'\''s UUID or unique id"
type-index\:"\`gpu0\`, and \`mig0\:1\` for a part"
pci\:"The PCI address"
all\:"Every name that containers can ask for"))' \
'--driver-root=[The root of the driver'\''s files, in place of the configured one]:DIR:_files' \
'--dev-root=[The root of the device nodes, in place of the configured one]:DIR:_files' \
'--output=[Write to this file, which is replaced in one step, or to stdout (-); a name without a suffix gets one, and in a folder the file is <vendor>-<class>.json; without it, to that file in the last of the configured spec directories]:FILE:_files' \
'--format=[What to write; without it, what the name of the file says, else json for files and yaml for stdout]:FORMAT:(json yaml)' \
'--hook-path=[The program on this machine that does in containers what files cannot say (the linker'\''s cache, forward compatibility); without it, the installed gpu-runc, if any]:FILE:_default' \
'--no-all-device[Do not add the device "all"]' \
'(--hook-path)--no-hooks[Name no such program\: programs in containers find the libraries where their image looks anyway]' \
'--dry-run[Write nothing; print what would be written, and where on stderr]' \
'(--output --dry-run)--prune[Remove the file that was written before for a vendor whose devices are gone]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(validate)
_arguments "${_arguments_options[@]}" : \
'*--spec-dir=[Look here for CDI files instead of in the configured directories; the last one counts most]:DIR:_files' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'*::files -- The files; without any, those of the spec directories, and also whether they are true of this machine:_files' \
&& ret=0
;;
(resolve)
_arguments "${_arguments_options[@]}" : \
'*--spec-dir=[Look here for CDI files instead of in the configured directories; the last one counts most]:DIR:_files' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'*::names -- Qualified names, such as nvidia.com/gpu=0:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__cdi__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-cdi-help-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(generate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(validate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(resolve)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--vendor=[Only this vendor'\''s]:NAME:_default' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(ps)
_arguments "${_arguments_options[@]}" : \
'(--prometheus -w --watch)--json[Print JSON]' \
'(-w --watch)--prometheus[Print the text format of Prometheus, for the textfile directory of a node exporter]' \
'-w[Show it again every two seconds]' \
'--watch[Show it again every two seconds]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::only -- Only this GPU (any of its names), or the GPUs of this container (its name, or the start of its id):_default' \
&& ret=0
;;
(runtime)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_gpu-ctk__subcmd__runtime_commands" \
"*::: :->runtime" \
&& ret=0

    case $state in
    (runtime)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-runtime-command-$line[1]:"
        case $line[1] in
            (configure)
_arguments "${_arguments_options[@]}" : \
'--engine=[The engine; without it, the one that this machine has]:ENGINE:(containerd docker crio podman k3s rke2)' \
'--config=[The engine'\''s main file, in place of the usual one; drop-ins are looked for beside it]:FILE:_files' \
'--runtime-name=[What the engine calls the runtime]:NAME:_default' \
'(--unconfigure)--runtime-path=[The gpu-runc to start; without it, the one beside gpu-ctk, in /usr/local/bin or in /usr/bin. It has to be there, but for a --config that is not this machine'\''s]:FILE:_files' \
'(--unconfigure)--names-dir=[Where to link the names; without it, /usr/local/bin, or the first directory on the daemon'\''s PATH that is root'\''s alone]:DIR:_files' \
'--restart=[How the engine is made to read its files again, if any changed or the daemon that runs has not loaded them]:HOW:((none\:"Not; the command that does it is printed"
signal\:"Send SIGHUP"
systemd\:"Ask systemd"))' \
'(--unconfigure)--set-as-default[Give it also to containers that name no runtime; without this, the default stays what it is]' \
'(--unconfigure)--pod-annotations[Let pods ask by annotations gpu-runc/…, which containerd, k3s and rke2 hand on only then. CRI-O always does]' \
'(--unconfigure)--gpus[Docker\: make \`docker run --gpus\` work, for GPUs of any vendor. Makes gpu-runc the default runtime, and links the names that Docker looks for to it]' \
'(--unconfigure)--gpus-only[The same, and environment variables give no GPU\: images that set NVIDIA_VISIBLE_DEVICES get one by --gpus only. Holds for all engines]' \
'(--unconfigure --gpus --gpus-only --names-dir --set-as-default --pod-annotations)--refresh[Where --gpus was given before\: fit the names to the GPUs that this host has now. Elsewhere, do nothing]' \
'(--user)--system[The system'\''s engine, which is root'\''s]' \
'--user[The rootless engine of this user]' \
'--unconfigure[Take out what was put in before, and nothing else]' \
'--dry-run[Write nothing; print what would change]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__runtime__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-runtime-help-command-$line[1]:"
        case $line[1] in
            (configure)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(node)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_gpu-ctk__subcmd__node_commands" \
"*::: :->node" \
&& ret=0

    case $state in
    (node)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-node-command-$line[1]:"
        case $line[1] in
            (install)
_arguments "${_arguments_options[@]}" : \
'--host-root=[The machine'\''s root, where this runs in a container that has it mounted]:DIR:_files' \
'--prefix=[The folder of the machine in which there is, or will be, gpu-runc/current/gpu-runc]:DIR:_files' \
'--engine=[The engine that runs pods; without it, the one that runs here]:ENGINE:(containerd crio k3s rke2)' \
'--config=[The engine'\''s main file, in place of the usual one]:FILE:_files' \
'--runtime-name=[What pods call the runtime\: the handler of the RuntimeClass]:NAME:_default' \
'--restart=[How the engine is made to read its files anew]:HOW:((none\:"Not; the command that does it is printed"
signal\:"Send SIGHUP, for containerd without systemd"
systemd\:"Ask systemd"))' \
'--wait=[How many seconds to wait for the engine, and for another installer]:SECONDS:_default' \
'--source=[The folder of gpu-runc and gpu-ctk; without it, that of this program]:DIR:_files' \
'--set-as-default[Pods that name no runtime are expected to have it]' \
'--pod-annotations[Pods are expected to ask by annotations gpu-runc/…, which containerd hands on only then. CRI-O always does]' \
'--stay[Stay until SIGTERM when it is done, or has failed\: for a DaemonSet, whose readiness is what status says]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(uninstall)
_arguments "${_arguments_options[@]}" : \
'--host-root=[The machine'\''s root, where this runs in a container that has it mounted]:DIR:_files' \
'--prefix=[The folder of the machine in which there is, or will be, gpu-runc/current/gpu-runc]:DIR:_files' \
'--engine=[The engine that runs pods; without it, the one that runs here]:ENGINE:(containerd crio k3s rke2)' \
'--config=[The engine'\''s main file, in place of the usual one]:FILE:_files' \
'--runtime-name=[What pods call the runtime\: the handler of the RuntimeClass]:NAME:_default' \
'--restart=[How the engine is made to read its files anew]:HOW:((none\:"Not; the command that does it is printed"
signal\:"Send SIGHUP, for containerd without systemd"
systemd\:"Ask systemd"))' \
'--wait=[How many seconds to wait for the engine, and for another installer]:SECONDS:_default' \
'--wait-for-containers=[How many seconds to wait for the last container that uses it]:SECONDS:_default' \
'--set-as-default[Pods that name no runtime are expected to have it]' \
'--pod-annotations[Pods are expected to ask by annotations gpu-runc/…, which containerd hands on only then. CRI-O always does]' \
'--stay[Stay until SIGTERM when it is done, or has failed\: for a DaemonSet, whose readiness is what status says]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
'--host-root=[The machine'\''s root, where this runs in a container that has it mounted]:DIR:_files' \
'--prefix=[The folder of the machine in which there is, or will be, gpu-runc/current/gpu-runc]:DIR:_files' \
'--engine=[The engine that runs pods; without it, the one that runs here]:ENGINE:(containerd crio k3s rke2)' \
'--config=[The engine'\''s main file, in place of the usual one]:FILE:_files' \
'--runtime-name=[What pods call the runtime\: the handler of the RuntimeClass]:NAME:_default' \
'--set-as-default[Pods that name no runtime are expected to have it]' \
'--pod-annotations[Pods are expected to ask by annotations gpu-runc/…, which containerd hands on only then. CRI-O always does]' \
'--json[Print JSON]' \
'--gone[Exit status 0 if nothing of it is left]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__node__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-node-help-command-$line[1]:"
        case $line[1] in
            (install)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(uninstall)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(system)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_gpu-ctk__subcmd__system_commands" \
"*::: :->system" \
&& ret=0

    case $state in
    (system)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-system-command-$line[1]:"
        case $line[1] in
            (create-dev-char-symlinks)
_arguments "${_arguments_options[@]}" : \
'--driver-root=[The root of the driver'\''s files, in place of the configured one]:DIR:_files' \
'--dev-root=[The root of the device nodes, in place of the configured one]:DIR:_files' \
'--dry-run[Make nothing; print what would be made]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(create-device-nodes)
_arguments "${_arguments_options[@]}" : \
'--driver-root=[The root of the driver'\''s files, in place of the configured one]:DIR:_files' \
'--dev-root=[The root of the device nodes, in place of the configured one]:DIR:_files' \
'--dry-run[Make nothing; print what would be made]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__system__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-system-help-command-$line[1]:"
        case $line[1] in
            (create-dev-char-symlinks)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(create-device-nodes)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(explain)
_arguments "${_arguments_options[@]}" : \
'(--env --annotation)--bundle=[A bundle, or its config.json]:DIR:_files' \
'*--env=[An environment variable of a container that has no bundle yet]:NAME=VALUE:_default' \
'*--annotation=[An annotation of a container that has no bundle yet]:KEY=VALUE:_default' \
'(--bundle --env --annotation --system --user)--error=[What an engine printed\: print the cause, and the command that fixes it]:TEXT:_default' \
'(--user)--system[As the system'\''s engine would start it, which is root'\''s]' \
'--user[As a rootless engine of this user would start it\: also checks who can open the device nodes]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(compose)
_arguments "${_arguments_options[@]}" : \
'--runtime=[The name of the runtime, as the engine knows it]:NAME:_default' \
'-o+[Write to this file, which is replaced in one step, in place of stdout (-)]:FILE:_files' \
'--output=[Write to this file, which is replaced in one step, in place of stdout (-)]:FILE:_files' \
'--whole[Write the complete file with its reservations turned into requests to gpu-runc, in place of an override]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'*::files -- The compose files, in the order in which compose is given them:_files' \
&& ret=0
;;
(config)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_gpu-ctk__subcmd__config_commands" \
"*::: :->config" \
&& ret=0

    case $state in
    (config)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-config-command-$line[1]:"
        case $line[1] in
            (default)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
'::file -- Another file than the one in force:_files' \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
':file -- The file, usually /etc/nvidia-container-runtime/config.toml:_files' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__config__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-config-help-command-$line[1]:"
        case $line[1] in
            (default)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
'(--json)-v[Show also why each thing matters that is as it should be]' \
'(--json)--verbose[Show also why each thing matters that is as it should be]' \
'--json[Print JSON]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-help-command-$line[1]:"
        case $line[1] in
            (cdi)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__help__subcmd__cdi_commands" \
"*::: :->cdi" \
&& ret=0

    case $state in
    (cdi)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-help-cdi-command-$line[1]:"
        case $line[1] in
            (list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(generate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(validate)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(resolve)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(list)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(ps)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(runtime)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__help__subcmd__runtime_commands" \
"*::: :->runtime" \
&& ret=0

    case $state in
    (runtime)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-help-runtime-command-$line[1]:"
        case $line[1] in
            (configure)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(node)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__help__subcmd__node_commands" \
"*::: :->node" \
&& ret=0

    case $state in
    (node)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-help-node-command-$line[1]:"
        case $line[1] in
            (install)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(uninstall)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(system)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__help__subcmd__system_commands" \
"*::: :->system" \
&& ret=0

    case $state in
    (system)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-help-system-command-$line[1]:"
        case $line[1] in
            (create-dev-char-symlinks)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(create-device-nodes)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(explain)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(compose)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(config)
_arguments "${_arguments_options[@]}" : \
":: :_gpu-ctk__subcmd__help__subcmd__config_commands" \
"*::: :->config" \
&& ret=0

    case $state in
    (config)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:gpu-ctk-help-config-command-$line[1]:"
        case $line[1] in
            (default)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(doctor)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_gpu-ctk_commands] )) ||
_gpu-ctk_commands() {
    local commands; commands=(
'cdi:List, check and resolve CDI devices' \
'list:List the devices of this machine, of every vendor' \
'ps:Show which container holds which GPU' \
'runtime:Tell engines of gpu-runc' \
'node:Install gpu-runc on a machine that runs pods, and take it away' \
'system:Make device nodes, and the links to them that systemd needs' \
'explain:Show what a container asks for, who may ask, what it gets, and what changes in its config.json' \
'compose:Make compose files that reserve GPUs work with gpu-runc, on nerdctl, Docker Compose and podman-compose' \
'config:Print, check and import the configuration file' \
'doctor:Say what is wrong with this machine, and the command that mends it' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi_commands] )) ||
_gpu-ctk__subcmd__cdi_commands() {
    local commands; commands=(
'list:List the devices that containers can ask for by name' \
'generate:Describe this machine'\''s devices in a CDI file, without any vendor'\''s tool' \
'validate:Check CDI files and say everything that is wrong with them' \
'resolve:Print the container edits that devices come to, as JSON' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk cdi commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__generate_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__generate_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi generate commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__help_commands() {
    local commands; commands=(
'list:List the devices that containers can ask for by name' \
'generate:Describe this machine'\''s devices in a CDI file, without any vendor'\''s tool' \
'validate:Check CDI files and say everything that is wrong with them' \
'resolve:Print the container edits that devices come to, as JSON' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk cdi help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__generate_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__generate_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi help generate commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi help help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__list_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi help list commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__resolve_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__resolve_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi help resolve commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__validate_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__help__subcmd__validate_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi help validate commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__list_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi list commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__resolve_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__resolve_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi resolve commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__cdi__subcmd__validate_commands] )) ||
_gpu-ctk__subcmd__cdi__subcmd__validate_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk cdi validate commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__compose_commands] )) ||
_gpu-ctk__subcmd__compose_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk compose commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config_commands] )) ||
_gpu-ctk__subcmd__config_commands() {
    local commands; commands=(
'default:Print the default file, with what each key means' \
'show:Print the configuration in force, and where it is from' \
'check:Say what is wrong with the file, and what would be right' \
'import:Print what NVIDIA'\''s config.toml comes to; what of it is not carried over is said on stderr, key by key' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk config commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__check_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config check commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__default_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__default_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config default commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__help_commands() {
    local commands; commands=(
'default:Print the default file, with what each key means' \
'show:Print the configuration in force, and where it is from' \
'check:Say what is wrong with the file, and what would be right' \
'import:Print what NVIDIA'\''s config.toml comes to; what of it is not carried over is said on stderr, key by key' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk config help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__help__subcmd__check_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config help check commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__help__subcmd__default_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__help__subcmd__default_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config help default commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__help__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config help help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__help__subcmd__import_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__help__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config help import commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__help__subcmd__show_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__help__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config help show commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__import_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config import commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__config__subcmd__show_commands] )) ||
_gpu-ctk__subcmd__config__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk config show commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__doctor_commands] )) ||
_gpu-ctk__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk doctor commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__explain_commands] )) ||
_gpu-ctk__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk explain commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__help_commands() {
    local commands; commands=(
'cdi:List, check and resolve CDI devices' \
'list:List the devices of this machine, of every vendor' \
'ps:Show which container holds which GPU' \
'runtime:Tell engines of gpu-runc' \
'node:Install gpu-runc on a machine that runs pods, and take it away' \
'system:Make device nodes, and the links to them that systemd needs' \
'explain:Show what a container asks for, who may ask, what it gets, and what changes in its config.json' \
'compose:Make compose files that reserve GPUs work with gpu-runc, on nerdctl, Docker Compose and podman-compose' \
'config:Print, check and import the configuration file' \
'doctor:Say what is wrong with this machine, and the command that mends it' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__cdi_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__cdi_commands() {
    local commands; commands=(
'list:List the devices that containers can ask for by name' \
'generate:Describe this machine'\''s devices in a CDI file, without any vendor'\''s tool' \
'validate:Check CDI files and say everything that is wrong with them' \
'resolve:Print the container edits that devices come to, as JSON' \
    )
    _describe -t commands 'gpu-ctk help cdi commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__generate_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__generate_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help cdi generate commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__list_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help cdi list commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__resolve_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__resolve_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help cdi resolve commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__validate_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__cdi__subcmd__validate_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help cdi validate commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__compose_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__compose_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help compose commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__config_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__config_commands() {
    local commands; commands=(
'default:Print the default file, with what each key means' \
'show:Print the configuration in force, and where it is from' \
'check:Say what is wrong with the file, and what would be right' \
'import:Print what NVIDIA'\''s config.toml comes to; what of it is not carried over is said on stderr, key by key' \
    )
    _describe -t commands 'gpu-ctk help config commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__config__subcmd__check_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__config__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help config check commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__config__subcmd__default_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__config__subcmd__default_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help config default commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__config__subcmd__import_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__config__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help config import commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__config__subcmd__show_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__config__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help config show commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__doctor_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__doctor_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help doctor commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__explain_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__explain_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help explain commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__list_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help list commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__node_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__node_commands() {
    local commands; commands=(
'install:Install both programs, register gpu-runc with the engine, and restart it if it has to read anything anew' \
'uninstall:Wait for the last container that uses it, and take all of it away' \
'status:Say how it stands. Exit status 0 if pods can have it' \
    )
    _describe -t commands 'gpu-ctk help node commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__node__subcmd__install_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__node__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help node install commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__node__subcmd__status_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__node__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help node status commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__node__subcmd__uninstall_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__node__subcmd__uninstall_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help node uninstall commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__ps_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__ps_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help ps commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__runtime_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__runtime_commands() {
    local commands; commands=(
'configure:Register gpu-runc with an engine, or take it out again' \
    )
    _describe -t commands 'gpu-ctk help runtime commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__runtime__subcmd__configure_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__runtime__subcmd__configure_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help runtime configure commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__system_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__system_commands() {
    local commands; commands=(
'create-dev-char-symlinks:Make the links in /dev/char by which systemd finds devices, so that a reload does not take them from containers' \
'create-device-nodes:Make the nodes of loaded drivers that nobody has made yet, as the vendors'\'' own tools would' \
    )
    _describe -t commands 'gpu-ctk help system commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__system__subcmd__create-dev-char-symlinks_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__system__subcmd__create-dev-char-symlinks_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help system create-dev-char-symlinks commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__help__subcmd__system__subcmd__create-device-nodes_commands] )) ||
_gpu-ctk__subcmd__help__subcmd__system__subcmd__create-device-nodes_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk help system create-device-nodes commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__list_commands] )) ||
_gpu-ctk__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk list commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node_commands] )) ||
_gpu-ctk__subcmd__node_commands() {
    local commands; commands=(
'install:Install both programs, register gpu-runc with the engine, and restart it if it has to read anything anew' \
'uninstall:Wait for the last container that uses it, and take all of it away' \
'status:Say how it stands. Exit status 0 if pods can have it' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk node commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__help_commands() {
    local commands; commands=(
'install:Install both programs, register gpu-runc with the engine, and restart it if it has to read anything anew' \
'uninstall:Wait for the last container that uses it, and take all of it away' \
'status:Say how it stands. Exit status 0 if pods can have it' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk node help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__help__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk node help help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__help__subcmd__install_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__help__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk node help install commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__help__subcmd__status_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__help__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk node help status commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__help__subcmd__uninstall_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__help__subcmd__uninstall_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk node help uninstall commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__install_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__install_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk node install commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__status_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk node status commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__node__subcmd__uninstall_commands] )) ||
_gpu-ctk__subcmd__node__subcmd__uninstall_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk node uninstall commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__ps_commands] )) ||
_gpu-ctk__subcmd__ps_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk ps commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__runtime_commands] )) ||
_gpu-ctk__subcmd__runtime_commands() {
    local commands; commands=(
'configure:Register gpu-runc with an engine, or take it out again' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk runtime commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__runtime__subcmd__configure_commands] )) ||
_gpu-ctk__subcmd__runtime__subcmd__configure_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk runtime configure commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__runtime__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__runtime__subcmd__help_commands() {
    local commands; commands=(
'configure:Register gpu-runc with an engine, or take it out again' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk runtime help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__runtime__subcmd__help__subcmd__configure_commands] )) ||
_gpu-ctk__subcmd__runtime__subcmd__help__subcmd__configure_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk runtime help configure commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__runtime__subcmd__help__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__runtime__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk runtime help help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__system_commands] )) ||
_gpu-ctk__subcmd__system_commands() {
    local commands; commands=(
'create-dev-char-symlinks:Make the links in /dev/char by which systemd finds devices, so that a reload does not take them from containers' \
'create-device-nodes:Make the nodes of loaded drivers that nobody has made yet, as the vendors'\'' own tools would' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk system commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__system__subcmd__create-dev-char-symlinks_commands] )) ||
_gpu-ctk__subcmd__system__subcmd__create-dev-char-symlinks_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk system create-dev-char-symlinks commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__system__subcmd__create-device-nodes_commands] )) ||
_gpu-ctk__subcmd__system__subcmd__create-device-nodes_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk system create-device-nodes commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__system__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__system__subcmd__help_commands() {
    local commands; commands=(
'create-dev-char-symlinks:Make the links in /dev/char by which systemd finds devices, so that a reload does not take them from containers' \
'create-device-nodes:Make the nodes of loaded drivers that nobody has made yet, as the vendors'\'' own tools would' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'gpu-ctk system help commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__system__subcmd__help__subcmd__create-dev-char-symlinks_commands] )) ||
_gpu-ctk__subcmd__system__subcmd__help__subcmd__create-dev-char-symlinks_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk system help create-dev-char-symlinks commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__system__subcmd__help__subcmd__create-device-nodes_commands] )) ||
_gpu-ctk__subcmd__system__subcmd__help__subcmd__create-device-nodes_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk system help create-device-nodes commands' commands "$@"
}
(( $+functions[_gpu-ctk__subcmd__system__subcmd__help__subcmd__help_commands] )) ||
_gpu-ctk__subcmd__system__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'gpu-ctk system help help commands' commands "$@"
}

if [ "$funcstack[1]" = "_gpu-ctk" ]; then
    _gpu-ctk "$@"
else
    compdef _gpu-ctk gpu-ctk
fi
