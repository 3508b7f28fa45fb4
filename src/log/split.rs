//! Bytes as they come, in lines.

/// Adds `bytes` to the `open` line and gives every line that is complete, or `most` bytes long, to `emit`,
/// without its newline.
pub(crate) fn split(open: &mut Vec<u8>, mut bytes: &[u8], most: usize, mut emit: impl FnMut(&[u8])) {
    while !bytes.is_empty() {
        let room = most - open.len();
        let window = &bytes[..bytes.len().min(room)];
        if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
            open.extend_from_slice(&window[..end]);
            bytes = &bytes[end + 1..];
        } else {
            open.extend_from_slice(window);
            bytes = &bytes[window.len()..];
            if open.len() < most {
                return;
            }
        }
        emit(open);
        open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_a_table() {
        let no_lines: &[&str] = &[];
        for (writes, lines, left) in [
            (&["one\ntw", "o\n\nthr"][..], &["one", "two", ""][..], "thr"),
            (&["0123456789ab", "\n"], &["01234567", "89ab"], ""),
            (&["01234567", "\n"], &["01234567", ""], ""),
            (&["", "x"], no_lines, "x"),
        ] {
            let (mut open, mut out) = (vec![], vec![]);
            for bytes in writes {
                split(&mut open, bytes.as_bytes(), 8, |line| {
                    out.push(String::from_utf8_lossy(line).into_owned());
                });
            }
            assert_eq!(out, lines, "{writes:?}");
            assert_eq!(open, left.as_bytes(), "{writes:?}");
        }
    }
}
