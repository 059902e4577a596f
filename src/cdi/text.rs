//! CDI text to [`Spec`], whatever it is written in.
//!
//! Text whose first character is `{` is JSON, whatever its file is called: that is what generators write and what is fastest to
//! read. Text that is not, or that JSON's grammar refuses, is taken for YAML, because the Go library reads every file as YAML.
//! YAML is turned into JSON text first, so that there is one reader of CDI ([`Outline`]) and not two.

use std::borrow::Cow;

use super::excerpt::Kept;
use super::fault::Fault;
use super::file::{Piece, SpecFile};
use super::outline::{Outline, Wants};
use super::spec::Spec;
use super::{block, excerpt, yaml};

/// What the standard library finds in the steps of a vector, in bytes; the end of an identifier says more than its beginning.
const LONGEST: usize = 32;

/// Reads `file` as far as it is wanted, as [`read`] does. With the `names` of all devices that are wanted no other device is looked
/// at, and `None` says that none of them is there.
pub(super) fn of_file(
    file: &mut SpecFile<'_>,
    wants: Wants<'_>,
    names: Option<&[Cow<'_, str>]>,
) -> Result<Option<Spec>, Vec<Fault>> {
    let whole = |message| vec![Fault::of_the_whole(message)];
    if let Some(names) = names {
        if !may_name_in(file, names).map_err(whole)? {
            return Ok(None);
        }
        // Of what is wrong, or not plain, the whole text says more.
        if let Some(kept) = excerpt::of(file, names).map_err(whole)?
            && let Ok(read) = read_excerpt(&kept, wants)
        {
            return Ok(read);
        }
    }
    read(file.whole().map_err(whole)?, wants).map(Some)
}

/// Whether a device in `file` may have one of `names`.
fn may_name_in(file: &mut SpecFile<'_>, names: &[Cow<'_, str>]) -> Result<bool, String> {
    let mut from = 0;
    loop {
        let Piece { text, is_last } = file.piece(from, 2 * LONGEST)?;
        let may = may_name(text, names);
        if may || is_last {
            return Ok(may);
        }
        // A name may begin in this piece.
        from += text.floor_char_boundary(text.len().saturating_sub(LONGEST));
    }
}

/// Whether a device in `text` may have one of `names`. Both languages keep the letters of a name, unless an escape (`\`) or a tag
/// (`!!binary`) stands for them.
fn may_name(text: &str, names: &[Cow<'_, str>]) -> bool {
    let end = |name: &str| name.get(name.len().saturating_sub(LONGEST)..).is_none_or(|end| text.contains(end));
    let has = |byte| text.as_bytes().contains(&byte);
    names.iter().any(|name| end(name)) || has(b'\\') || has(b'!')
}

/// That an excerpt is not plain, or something is wrong with it.
struct Unclear;

/// Reads an excerpt as [`of_file`] does a file.
fn read_excerpt(kept: &Kept<'_>, wants: Wants<'_>) -> Result<Option<Spec>, Unclear> {
    let json = match kept.text.starts_with('{') {
        true => Cow::Borrowed(&kept.text),
        false => Cow::Owned(block::to_json(&kept.text).ok_or(Unclear)?),
    };
    let outline = Outline::parse(&json).map_err(|_| Unclear)?;
    if kept.devices == 0 {
        return Ok(None);
    }
    outline.read(&json, wants).map(Some).map_err(|_| Unclear)
}

/// Reads `text` as far as it is wanted: the header and the names of all devices are always judged, the file's own edits and its
/// devices only where `wants` says so. The spec holds the devices that are wanted and no others. The error holds every fault.
pub(super) fn read(text: &str, wants: Wants<'_>) -> Result<Spec, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut not_json = None;
    if text.trim_start().starts_with('{') {
        match Outline::parse(text) {
            Ok(outline) => return outline.read(text, wants),
            Err(error) if error.is_data() => return Err(vec![Fault::in_json(text, 0, &error)]),
            Err(error) => not_json = Some(Fault::in_json(text, 0, &error)),
        }
    }
    if let Some(json) = block::to_json(text) {
        return read_json(&json, wants);
    }
    let spec = yaml::read(text).map_err(|fault| vec![not_json.unwrap_or(fault)])?;
    let json = serde_json::to_string(&spec).map_err(|error| vec![Fault::of_the_whole(error.to_string())])?;
    read_json(&json, wants).map_err(|mut faults| {
        // This JSON's lines are not those of the file.
        faults.iter_mut().for_each(|fault| fault.line = None);
        faults
    })
}

fn read_json(json: &str, wants: Wants<'_>) -> Result<Spec, Vec<Fault>> {
    Outline::parse(json).map_err(|error| vec![Fault::in_json(json, 0, &error)])?.read(json, wants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_any_of_the_names_describes_none_of_them() {
        let long = "GPU-1f3c0000-0000-0000-0000-00000000feed".to_owned();
        let names = [Cow::Borrowed("5"), Cow::Borrowed("mig:1"), Cow::Owned(long)];
        let devices = |list: &str| format!("{{\"cdiVersion\": \"0.6.0\", \"kind\": \"a.b/c\", \"devices\": [{list}]}}");
        let device = |name: &str| format!("{{\"name\": {name}, \"containerEdits\": {{\"env\": [\"A=b\"]}}}}");
        for (name, may) in [
            ("\"5\"", true),
            ("\"4\"", false),
            ("\"mig:1\"", true),
            ("\"mig:0\"", false),
            ("\"GPU-1f3c0000-0000-0000-0000-00000000feed\"", true),
            ("\"GPU-1f3c0000-0000-0000-0000-00000000beef\"", false),
            ("\"\\u0035\"", true),
            ("!!binary NQ==", true),
        ] {
            let text = devices(&device(name));
            assert_eq!(may_name(&text, &names), may, "{text}");
            let described = read(&text, &|_, device| names.iter().any(|name| name == device));
            assert!(may || described.unwrap().devices.is_empty(), "{text}");
        }
    }
}
