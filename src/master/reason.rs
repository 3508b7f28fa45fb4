//! Texts that children send, cut: a guest may write a megabyte, and a frame that grows past
//! `MAX_ENVELOPE` on its way would be lost.

/// The most bytes of an error's text.
pub(crate) const MAX_REASON: usize = 16 << 10;

/// What stands at the end of a text that was cut.
const CUT: &str = "… (cut)";

/// Why a child is killed that did what none of ours does.
pub(crate) fn broke(what: impl std::fmt::Display) -> String {
    format!("broke the protocol: {what}")
}

/// Cuts a text to at most so many bytes, and the note that it was cut; what was cut off takes no memory.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push_str(CUT);
        text.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        for (text, most, expected) in
            [("abc", 3, "abc"), ("abcd", 3, "abc… (cut)"), ("éé", 3, "é… (cut)"), ("é", 0, "… (cut)")]
        {
            let mut text = text.to_owned();
            cut(&mut text, most);
            assert_eq!(text, expected);
        }
        let mut long = "x".repeat(1 << 20);
        cut(&mut long, 3);
        assert!(long.capacity() < 64, "{}", long.capacity());
    }
}
