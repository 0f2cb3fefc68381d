//! How deeply JSON is nested, found by a scan of the bytes before anything is parsed or allocated.

use zhiyin_core::limits::JSON_DEPTH_MAX;

/// Whether objects and arrays in `json` nest deeper than [`JSON_DEPTH_MAX`]. Brackets inside strings don't count. Text that isn't JSON
/// gives some answer; the parser refuses it later.
pub(crate) fn too_deep(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_up_to_the_limit_and_not_inside_strings() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!too_deep(nested(JSON_DEPTH_MAX).as_bytes()));
        assert!(too_deep(nested(JSON_DEPTH_MAX + 1).as_bytes()));
        assert!(!too_deep(format!(r#"{{"a":"\"{}"}}"#, "[".repeat(99)).as_bytes()));
        assert!(!too_deep("[{}],".repeat(99).as_bytes()), "brothers don't nest");
    }
}
