//! Inputs made of others: flipped, cut, doubled, spliced, with words of the corpus put in. One seed gives one row of inputs.

/// What is often forgotten.
const WORDS: [&[u8]; 21] = [
    b"",
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"-",
    b"-1",
    b"0",
    b"000000000",
    b"999999999",
    b"1000000000",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"../",
    b"/",
    b"\\057",
    b"\xff\xfe",
];

/// No input is longer.
const MAX_LEN: usize = 64 << 10;

/// Makes inputs, and keeps what they are made of.
pub(crate) struct Mutator {
    state: u64,
    pool: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// Of these seeds, of which there must be one.
    pub(crate) fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Mutator {
        let mut mutator = Mutator { state: seed, pool: Vec::new(), words: WORDS.map(<[u8]>::to_vec).to_vec() };
        seeds.into_iter().for_each(|seed| mutator.keep(seed));
        mutator.words.sort();
        mutator.words.dedup();
        mutator
    }

    /// Makes the next ones of this one, too.
    pub(crate) fn keep(&mut self, input: Vec<u8>) {
        let words = input.split(|b| b" \n:=,/.-\0".contains(b)).filter(|word| (1..=80).contains(&word.len())).take(200);
        if self.words.len() < 5000 {
            self.words.extend(words.map(<[u8]>::to_vec));
        }
        self.pool.push(input);
    }

    /// SplitMix64, by Steele, Lea and Flood.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random() % limit.max(1) as u64) as usize
    }

    fn any(&mut self) -> Vec<u8> {
        let at = self.below(self.pool.len());
        self.pool[at].clone()
    }

    /// A range of `bytes`, most often a short one.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let most = [8, 64, 512, len][self.below(4)];
        let from = self.below(len + 1);
        from..(from + self.below(most + 1)).min(len)
    }

    /// The next input. `mend` sees most of them.
    pub(crate) fn next(&mut self, mend: fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = self.any();
        for _ in 0..=self.below(5) {
            self.change(&mut bytes);
        }
        bytes.truncate(MAX_LEN);
        if self.below(8) > 0 {
            mend(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let (at, random) = (self.below(len), self.random());
        let range = self.range(len);
        match self.below(10) {
            0 if len > 0 => bytes[at] ^= 1 << (random % 8),
            1 if len > 0 => bytes[at] = random as u8,
            2 if len > 0 => bytes[at] = bytes[at].wrapping_add(if random % 2 == 0 { 1 } else { 255 }),
            3 => drop(bytes.drain(range)),
            4 => bytes.truncate(at),
            5 => {
                let doubled = bytes[range.clone()].to_vec();
                bytes.splice(range.start..range.start, doubled);
            }
            6 => {
                let other = self.any();
                let from = self.range(other.len());
                bytes.splice(range, other[from].to_vec());
            }
            7 => {
                let other = self.any();
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            8 => {
                // In place of a word, so that the form stays.
                let start = bytes[..at].iter().rposition(|b| b" \n:=,/.-".contains(b)).map_or(0, |at| at + 1);
                let end = bytes[at..].iter().position(|b| b" \n:=,/.-".contains(b)).map_or(len, |end| at + end);
                let word = self.below(self.words.len());
                bytes.splice(start..end, self.words[word].clone());
            }
            _ => {
                let word = self.below(self.words.len());
                bytes.splice(at..at, self.words[word].clone());
            }
        }
    }
}
