//! Numbers as people read them.

/// A number of bytes for people: `17.3 MiB`.
pub fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// How many there are of something, in words: `1 band`, `2 bands`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let words = [0, 1, 2].map(|number| count(number, "object"));
        assert_eq!(words, ["0 objects", "1 object", "2 objects"]);
    }

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!(
            [0, 1023, 1024, 18_140_365, 5 << 40].map(human),
            ["0 B", "1023 B", "1.0 KiB", "17.3 MiB", "5.0 TiB"]
        );
    }
}
