//! The difference between two texts, as a patch.

use imara_diff::{Algorithm, BasicLineDiffPrinter, Diff, InternedInput, UnifiedDiffConfig};

/// What is to change in `before` to have `after`, in the unified format, under the two names; nothing where they are the same.
pub(super) fn unified(before: &str, after: &str, names: (&str, &str)) -> String {
    let input = InternedInput::new(before, after);
    let mut diff = Diff::compute(Algorithm::Myers, &input);
    diff.postprocess_lines(&input);
    let lines =
        diff.unified_diff(&BasicLineDiffPrinter(&input.interner), UnifiedDiffConfig::default(), &input).to_string();
    // A side without lines is said to begin at none, or programs that apply patches look for a file that is not there.
    let lines = match (before, after) {
        ("", _) => lines.replacen("@@ -1,0 ", "@@ -0,0 ", 1),
        (_, "") => lines.replacen(" +1,0 @@", " +0,0 @@", 1),
        _ => lines,
    };
    if lines.is_empty() { lines } else { format!("--- {}\n+++ {}\n{lines}", names.0, names.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_lines_around_it() {
        let before: String = (1..=20).map(|line| format!("{line}\n")).collect();
        let after = before.replace("10\n", "ten\n");
        let patch = unified(&before, &after, ("a", "b"));
        assert_eq!(patch, "--- a\n+++ b\n@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n");
        assert_eq!(unified(&before, &before, ("a", "b")), "");
        assert_eq!(unified("", "x\n", ("/dev/null", "b")), "--- /dev/null\n+++ b\n@@ -0,0 +1,1 @@\n+x\n");
        assert_eq!(unified("x\n", "", ("a", "/dev/null")), "--- a\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x\n");
    }
}
