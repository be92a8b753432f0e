//! Names of bands, which spell their chain, and their ids.

use std::fmt;
use std::str::FromStr;

use super::time::Stamp;

/// The deepest tier: a chain has at most ten bands.
pub const MAX_TIER: u8 = 9;

/// A band's name: the stamps of its chain, oldest first, joined by `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BandName(Vec<Stamp>);

/// Why a text is no band name, id or number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not stamps joined by `-`.
    #[error("`{0}` is not a band name: expected YYYYMMDDThhmmssZ, joined by - in a chain")]
    BandName(String),
    /// Stamps of a chain do not rise.
    #[error("`{0}` is not a band name: its times are not in ascending order")]
    NotRising(String),
    /// Deeper than tier 9.
    #[error("`{0}` is not a band name: its tier is higher than 9")]
    TooDeep(String),
    /// Not 32 lower-case hexadecimal digits.
    #[error("`{0}` is not a band id: expected 32 lower-case hexadecimal digits")]
    BandId(String),
}

impl BandName {
    /// The full band that starts at `stamp`.
    pub fn full(stamp: Stamp) -> BandName {
        BandName(vec![stamp])
    }

    /// The band on top of this one that starts at `stamp`; none if it would not be later, or too
    /// deep.
    pub fn child(&self, stamp: Stamp) -> Option<BandName> {
        let mut stamps = self.0.clone();
        stamps.push(stamp);
        (self.start() < stamp && self.tier() < MAX_TIER).then_some(BandName(stamps))
    }

    /// The band that this one is laid over; none for a full band.
    pub fn parent(&self) -> Option<BandName> {
        let (_, chain) = self.0.split_last()?;
        (!chain.is_empty()).then(|| BandName(chain.to_vec()))
    }

    /// The bands from the full one up to this one, which is the last.
    pub fn chain(&self) -> Vec<BandName> {
        (1..=self.0.len()).map(|stamps| BandName(self.0[..stamps].to_vec())).collect()
    }

    /// How many bands lie below: 0 for a full band.
    pub fn tier(&self) -> u8 {
        (self.0.len() - 1) as u8
    }

    /// When the band was started, as its name says.
    pub fn start(&self) -> Stamp {
        self.0[self.0.len() - 1]
    }
}

impl FromStr for BandName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<BandName, NameError> {
        let stamps: Option<Vec<Stamp>> = text.split('-').map(Stamp::parse).collect();
        let stamps = stamps.ok_or_else(|| NameError::BandName(text.to_owned()))?;
        if stamps.len() > usize::from(MAX_TIER) + 1 {
            return Err(NameError::TooDeep(text.to_owned()));
        }
        if !stamps.is_sorted_by(|a, b| a < b) {
            return Err(NameError::NotRising(text.to_owned()));
        }
        Ok(BandName(stamps))
    }
}

impl fmt::Display for BandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, stamp) in self.0.iter().enumerate() {
            write!(f, "{}{stamp}", if i == 0 { "" } else { "-" })?;
        }
        Ok(())
    }
}

/// 16 random bytes that tell two bands of the same name apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BandId(pub [u8; 16]);

impl FromStr for BandId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<BandId, NameError> {
        let mut id = [0; 16];
        match hex::decode_to_slice(text, &mut id) {
            Ok(()) if !text.bytes().any(|b| b.is_ascii_uppercase()) => Ok(BandId(id)),
            _ => Err(NameError::BandId(text.to_owned())),
        }
    }
}

impl fmt::Display for BandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_spell_the_chain() {
        let name: BandName = "20261101T020000Z-20261108T020000Z".parse().unwrap();
        assert_eq!(
            (name.tier(), name.to_string().as_str()),
            (1, "20261101T020000Z-20261108T020000Z")
        );
        let parent = name.parent().unwrap();
        assert_eq!((parent.to_string().as_str(), parent.parent()), ("20261101T020000Z", None));
        assert_eq!(parent.child(name.start()), Some(name.clone()));
        assert_eq!(name.child(parent.start()), None);
        assert_eq!(name.child(name.start()), None);
    }

    #[test]
    fn bad_names() {
        let ten: Vec<String> = (10..=20).map(|day| format!("202611{day}T020000Z")).collect();
        assert!(ten[..10].join("-").parse::<BandName>().is_ok_and(
            |name| name.tier() == 9 && name.child(Stamp::from_unix(1 << 32).unwrap()).is_none()
        ));
        assert!(matches!(ten.join("-").parse::<BandName>(), Err(NameError::TooDeep(_))));
        assert!(matches!(
            "20261108T020000Z-20261101T020000Z".parse::<BandName>(),
            Err(NameError::NotRising(_))
        ));
        for bad in ["", "-", "20261108T020000Z-", "../20261108T020000Z", "20261108T020000Z/"] {
            assert!(matches!(bad.parse::<BandName>(), Err(NameError::BandName(_))), "{bad}");
        }
        assert!("00112233445566778899AABBCCDDEEFF".parse::<BandId>().is_err());
        assert!(
            "00112233445566778899aabbccddeeff"
                .parse::<BandId>()
                .is_ok_and(|id| id.to_string() == "00112233445566778899aabbccddeeff")
        );
    }
}
