//! Small objects in which one bit is flipped: they tell themselves when they are right.

/// An object of more bytes than this is not tried bit by bit.
pub(super) const MAX_FLIPPED: u64 = 4 << 10;

/// The bytes with one bit flipped that are what is looked for.
pub(super) fn flip(mut bytes: Vec<u8>, is_it: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            if is_it(&bytes) {
                return Some(bytes);
            }
            bytes[at] ^= 1 << bit;
        }
    }
    None
}
