//! What fuzz targets have in common: the laws that every ledger keeps, whatever was read.

pub mod laws;

/// The number that the first byte chooses among so many, and the rest.
pub fn choose(input: &[u8], of: usize) -> Option<(usize, &[u8])> {
    let (first, rest) = input.split_first()?;
    Some((usize::from(*first) % of, rest))
}

/// Two texts in one input, apart by a byte that none of the kernel's has.
pub fn two(input: &[u8]) -> (&[u8], &[u8]) {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    (&input[..at], input.get(at + 1..).unwrap_or_default())
}
