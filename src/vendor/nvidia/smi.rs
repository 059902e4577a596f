//! MIG devices by UUID, which only `nvidia-smi` says: one call lists UUIDs by index, another has the instances of each index.
//!
//! Pure. Source: the texts of nvidia-smi, of `-L` and of `-q -x`.

use crate::vendor::recipe::Part;

/// The MIG devices in what `nvidia-smi -L` and `nvidia-smi -q -x` print.
pub(super) fn parts(answers: &[String]) -> Vec<Part> {
    let [list, report] = answers else { return Vec::new() };
    let instances = instances(report);
    let part = |(whole, index, name): (String, u32, String)| {
        let instance = instances.iter().find(|(gpu, is, _)| *gpu == whole && *is == index)?.2;
        Some(Part { whole, instance, name })
    };
    listed(list).into_iter().filter_map(part).collect()
}

/// UUID of the GPU, index of the MIG device, its UUID: from lines such as `GPU 0: NVIDIA A100 (UUID: GPU-…)` and, below each,
/// `  MIG 3g.20gb     Device  0: (UUID: MIG-…)`.
fn listed(text: &str) -> Vec<(String, u32, String)> {
    let (mut gpu, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        let Some((before, uuid)) = line.split_once("(UUID: ") else { continue };
        let uuid = uuid.trim_end().trim_end_matches(')').to_owned();
        if line.trim_start().starts_with("MIG ") {
            let index =
                before.rsplit_once("Device").and_then(|(_, index)| index.trim().trim_end_matches(':').parse().ok());
            found.extend(index.map(|index| (gpu.clone(), index, uuid)));
        } else if line.starts_with("GPU ") {
            gpu = uuid;
        }
    }
    found
}

/// UUID of the GPU, index of the MIG device, numbers of its instances.
fn instances(xml: &str) -> Vec<(String, u32, (u32, u32))> {
    let mut found = Vec::new();
    for gpu in elements(xml, "gpu") {
        let Some(uuid) = element(gpu, "uuid") else { continue };
        for device in elements(gpu, "mig_device") {
            let number = |name| element(device, name)?.parse::<u32>().ok();
            let numbers = (number("index"), number("gpu_instance_id"), number("compute_instance_id"));
            if let (Some(index), Some(gi), Some(ci)) = numbers {
                found.push((uuid.to_owned(), index, (gi, ci)));
            }
        }
    }
    found
}

/// What is between `<name …>` and `</name>`, for each that there is. Elements of one name are not inside of each other here.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, end) = (format!("<{name}"), format!("</{name}>"));
    let (mut rest, mut found) = (xml, Vec::new());
    while let Some((_, after)) = rest.split_once(open.as_str()) {
        rest = after;
        let inside = after.split_once('>').filter(|_| after.starts_with(['>', ' '])).map(|(_, inside)| inside);
        if let Some((element, after)) = inside.and_then(|inside| inside.split_once(end.as_str())) {
            found.push(element);
            rest = after;
        }
    }
    found
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    elements(xml, name).first().map(|text| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aa)\n  MIG 3g.20gb     Device  0: (UUID: MIG-1)\n  MIG 1g.5gb      Device  1: (UUID: MIG-2)\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bb)\n";

    fn report(devices: &str) -> String {
        format!(
            "<nvidia_smi_log><gpu id=\"0\"><uuid>GPU-aa</uuid><mig_devices>{devices}</mig_devices></gpu>\n<gpu id=\"1\"><uuid>GPU-bb</uuid><gpu_reset_status/></gpu></nvidia_smi_log>"
        )
    }

    #[test]
    fn a_part_is_found_by_its_instances() {
        let device = |index, gi| {
            format!(
                "<mig_device><index>{index}</index><gpu_instance_id>{gi}</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device>"
            )
        };
        let whole = report(&(device(0, 2) + &device(1, 9)));
        let part = |gi, name: &str| Part { whole: "GPU-aa".to_owned(), instance: (gi, 0), name: name.to_owned() };
        assert_eq!(parts(&[LIST.to_owned(), whole]), [part(2, "MIG-1"), part(9, "MIG-2")]);
        assert_eq!(parts(&[LIST.to_owned(), report(&device(1, 9))]), [part(9, "MIG-2")]);
        for broken in ["", "<gpu>", "<gpu><uuid>GPU-aa", "<mig_device>", "no devices were found"] {
            assert_eq!(parts(&[LIST.to_owned(), broken.to_owned()]), [], "{broken}");
            assert_eq!(parts(&[broken.to_owned(), String::new()]), [], "{broken}");
        }
    }
}
