//! What NVIDIA's toolkit has hooks do in containers.
//!
//! Source: nvidia-container-toolkit, cmd/nvidia-cdi-hook; the driver's README, "Application profiles".

use crate::vendor::hooks::{Compat, DriverHooks, Params, Profile};
use crate::vendor::recipe::HookRule;

use super::{COMPUTES, SHOWS};

const PROGRAM: &str = "nvidia-cdi-hook";

pub(super) static HOOKS: DriverHooks = DriverHooks {
    programs: &[(PROGRAM, None), ("nvidia-ctk", Some("hook"))],
    compat: Compat {
        folder: "/usr/local/cuda/compat",
        library: "libcuda.so.",
        names: &["libcuda.so", "libcudadebugger.so", "libnvcudla.so", "libnvidia-"],
        section: ".note.cuda.fwd_compatibility",
        owner: "NVIDIA Corporation",
    },
    profile: Profile {
        nodes: "/dev/nvidia",
        path: "/etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf",
        text: profile,
    },
    params: Params {
        path: "/proc/driver/nvidia/params",
        line: "ModifyDeviceFiles: 1",
        instead: "ModifyDeviceFiles: 0",
        devices: "/proc/driver/nvidia/gpus",
    },
};

/// The hooks that go with the driver's files.
pub(super) const OF_DRIVER: &[HookRule] = &[
    CACHE,
    COMPAT,
    HookRule { args: &[PROGRAM, "disable-device-node-modification"], ..ALWAYS },
    HookRule { args: &[PROGRAM, "update-application-profile"], classes: SHOWS, ..ALWAYS },
];

/// Those for programs that manage all GPUs: what keeps a container to its own ones is none of them.
pub(super) const OF_MANAGER: &[HookRule] = &[CACHE, COMPAT];

const CACHE: HookRule = HookRule { args: &[PROGRAM, "update-ldcache", "{folders}"], classes: &[], is_for_files: true };
const ALWAYS: HookRule = HookRule { args: &[], classes: &[], is_for_files: false };
const COMPAT: HookRule = HookRule {
    args: &[PROGRAM, "enable-cuda-compat", "--host-driver-version={version}"],
    classes: COMPUTES,
    is_for_files: false,
};

/// Programs that draw count all GPUs of the machine unless they are told which to see.
fn profile(devices: u64) -> String {
    format!(
        "{{\"profiles\":[{{\"name\":\"_container_\",\"settings\":[\"EGLVisibleDGPUDevices\",{devices:#x}]}}],\
         \"rules\":[{{\"pattern\":[],\"profile\":\"_container_\"}}]}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_names_the_devices_by_their_bits() {
        let profile: serde_json::Value = serde_json::from_str(&profile(0b1001).replace("0x9", "9")).unwrap();
        assert_eq!(profile["profiles"][0]["settings"], serde_json::json!(["EGLVisibleDGPUDevices", 9]));
    }
}
