//! Looks for many texts at once, in a time that hardly depends on how many there are: for
//! each pair of bytes it is known how far the next place is where one may end (Wu and
//! Manber's algorithm).

/// The shortest text that is looked for: the longer, the farther each step.
pub(super) const SHORTEST: usize = 10;
/// The farthest step.
const FARTHEST: u8 = 9;

/// Texts to look for.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Each with its number, those together whose first [`SHORTEST`] bytes end in the same pair.
    texts: Vec<(usize, Vec<u8>)>,
    /// By pairs of bytes: how far a place may be passed on where these bytes end in it.
    steps: Vec<u8>,
    /// By pairs of bytes that leave no step: where their texts begin.
    groups: Vec<u8>,
}

impl Scanner {
    /// A scanner for at most 255 texts. Those that are too short are never found.
    pub fn of(texts: Vec<Vec<u8>>) -> Self {
        let mut texts: Vec<_> = texts.into_iter().enumerate().collect();
        texts.retain(|(_, text)| text.len() >= SHORTEST);
        texts.sort_by_key(|(_, text)| last_pair(text));
        let (mut steps, mut groups) = (vec![FARTHEST; 1 << 16], vec![0; 1 << 16]);
        for (at, (_, text)) in (0..u8::MAX).zip(&texts).rev() {
            for (step, pair) in (0..FARTHEST).rev().zip(text[..SHORTEST].windows(2)) {
                let known = &mut steps[place(pair[0], pair[1])];
                *known = step.min(*known);
            }
            groups[last_pair(text)] = at;
        }
        Self { texts, steps, groups }
    }

    /// The length of the longest text.
    pub fn longest(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.len()).max().unwrap_or_default()
    }

    /// Hands each text that stands in the bytes to `found`: its number, and where.
    pub fn scan(&self, bytes: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut end = SHORTEST - 1;
        while let Some(&last) = bytes.get(end) {
            let pair = place(bytes[end - 1], last);
            match self.steps[pair] {
                0 => {
                    let start = end + 1 - SHORTEST;
                    let group = self.texts[usize::from(self.groups[pair])..].iter();
                    for (number, text) in group.take_while(|(_, text)| last_pair(text) == pair) {
                        if bytes[start..].starts_with(text) {
                            found(*number, start);
                        }
                    }
                    end += 1;
                }
                step => end += usize::from(step),
            }
        }
    }
}

/// The pair in which the first [`SHORTEST`] bytes of a text end; it has as many.
fn last_pair(text: &[u8]) -> usize {
    place(text[SHORTEST - 2], text[SHORTEST - 1])
}

fn place(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_found_is_what_stands_there(
            texts in prop::collection::vec(prop::collection::vec(0u8..3, SHORTEST..14), 1..6),
            bytes in prop::collection::vec(0u8..3, 0..4000),
            at in any::<prop::sample::Index>(),
        ) {
            // One of them stands there for sure.
            let mut bytes = bytes;
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, texts[0].iter().copied());
            let scanner = Scanner::of(texts.clone());
            let mut found = Vec::new();
            scanner.scan(&bytes, |number, at| found.push((number, at)));
            let stands = |at: usize, text: &Vec<u8>| bytes[at..].starts_with(text);
            let expected: Vec<_> = (0..bytes.len())
                .flat_map(|at| (0..texts.len()).map(move |number| (number, at)))
                .filter(|(number, at)| stands(*at, &texts[*number]))
                .collect();
            prop_assert!(!expected.is_empty());
            found.sort_unstable_by_key(|(number, at)| (*at, *number));
            prop_assert_eq!(found, expected);
        }
    }
}
