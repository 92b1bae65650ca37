//! One stream in many pieces.

/// Cuts bytes into pieces whose sizes follow from one byte: by single bytes for 0,
/// else by sizes that look random, most of them small.
pub(crate) fn cut(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(u32::from(seed));
        let size = 1 + (state >> 24) as usize % (1 + usize::from(seed) / 2);
        let (piece, others) = rest.split_at(size.min(rest.len()));
        rest = others;
        (!piece.is_empty()).then_some(piece)
    })
}
