//! What of a large file is stored: its line alone, if an older block or another file has its
//! content; what is new of it, as a delta; or all of it.
//!
//! Where something suggests that not all has to be stored, the file is read once for its digest
//! before it is read to be stored.

use std::collections::VecDeque;

use crate::format::entry::Entry;

/// What is known of a large file before it is read.
#[derive(Debug, Clone, Copy)]
pub struct LargeFacts {
    /// How many bytes are stored, holes included.
    pub size: u64,
    /// Its links.
    pub nlink: u64,
    /// Nearly all of it is holes: its digest is that of the rest.
    pub by_body: bool,
    /// It has attributes.
    pub has_attributes: bool,
    /// It is as long as its size says, as far as is known.
    pub is_whole: bool,
    /// The band has a parent, in whose blocks content may stay.
    pub has_parent: bool,
    /// It was taken for one whose content is stored, and is none: it does not refer again.
    pub again: bool,
    /// What an earlier run has stored of it in parts.
    pub begun: Option<BegunAs>,
    /// Files of this size or larger change by deltas; none if there are no deltas.
    pub delta_over: Option<u64>,
}

/// As what an earlier run has begun to store a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BegunAs {
    /// All of it.
    All,
    /// As a delta.
    Delta,
}

/// What suggests that not all of a file has to be stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct LargeLookup {
    /// The version below has something at its path over which a delta can be made.
    pub base: bool,
    /// This run has stored a file of the same size that begins as this one.
    pub twin: bool,
    /// The version below has a file of its size.
    pub size: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LargeEffect {
    /// Look for what is like it.
    LookUp {
        /// What is at its path in the version below.
        base: bool,
        /// Files that may have its content.
        likes: bool,
    },
    /// Read it for its digest, and for its chunks if there is a base.
    Digest,
    /// Look in the version below for a file with its digest.
    FindOrigin,
    /// Plan a delta over the base.
    PlanDelta,
    /// Hand on its line: the older block has its content.
    Keep,
    /// Hand on its line, which refers to another file, or will if that is stored.
    Refer,
    /// Hand on its delta.
    SendDelta {
        /// Less what an earlier run has stored of it.
        continues: bool,
    },
    /// Hand on all of it.
    SendAll {
        /// Less what an earlier run has stored of it.
        continues: bool,
    },
    /// Say that what an earlier run has stored of it is of no use.
    BeginAgain,
}

/// The machine: an effect comes out of `poll` at a time, and what came of it goes in.
#[derive(Debug)]
pub struct LargeChoice {
    effects: VecDeque<LargeEffect>,
    /// Diff suspects its content in an older block.
    is_suspect: bool,
    may_refer: bool,
    has_sums: bool,
    begun: Option<BegunAs>,
    known: LargeLookup,
    /// What is being handed on is what an earlier run has begun.
    continues: bool,
    is_stored: bool,
}

impl LargeChoice {
    /// Begins with the line that diff let through.
    pub fn new(entry: &Entry, facts: &LargeFacts) -> LargeChoice {
        let LargeFacts { size, begun, .. } = *facts;
        let is_bare = facts.is_whole && !facts.has_attributes;
        let is_plain = is_bare && facts.nlink == 1 && !facts.by_body;
        let mut choice = LargeChoice {
            effects: VecDeque::new(),
            is_suspect: is_bare
                && facts.has_parent
                && entry.within.is_some()
                && entry.size == Some(size)
                && entry.body.is_some() == facts.by_body,
            may_refer: is_plain && !facts.again && begun.is_none(),
            has_sums: is_plain && facts.delta_over.is_some_and(|over| size >= over),
            begun,
            known: LargeLookup::default(),
            continues: false,
            is_stored: false,
        };
        let base = choice.has_sums && begun != Some(BegunAs::All);
        match base || choice.may_refer {
            true => choice.effects.push_back(LargeEffect::LookUp { base, likes: choice.may_refer }),
            false => choice.handle_likeness(LargeLookup::default()),
        }
        choice
    }

    /// Whether the file has sums, by which a later change of it is found.
    pub fn has_sums(&self) -> bool {
        self.has_sums
    }

    /// Whether content of the file was handed on, all that is to be stored.
    pub fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// What is to be done next; nothing at the end.
    pub fn poll(&mut self) -> Option<LargeEffect> {
        let effect = self.effects.pop_front();
        if let Some(LargeEffect::SendDelta { continues } | LargeEffect::SendAll { continues }) =
            effect
        {
            self.continues = continues;
        }
        effect
    }

    /// What was found that is like it.
    pub fn handle_likeness(&mut self, known: LargeLookup) {
        self.known = known;
        let may_save = self.is_suspect || known.base || known.twin || known.size;
        match may_save && self.begun != Some(BegunAs::All) {
            true => self.effects.push_back(LargeEffect::Digest),
            false => self.send_all(),
        }
    }

    /// Its digest is known, and whether it is that of the older block; none if it could not be read
    /// to its end.
    pub fn handle_digest(&mut self, is_unchanged: Option<bool>) {
        match is_unchanged {
            None => self.send_all(),
            Some(true) if self.is_suspect => self.effects.push_back(LargeEffect::Keep),
            Some(_) if self.may_refer => self.effects.push_back(LargeEffect::FindOrigin),
            Some(_) => self.plan(),
        }
    }

    /// Whether the version below has a file with its digest.
    pub fn handle_origin(&mut self, is_found: bool) {
        match is_found || self.known.twin {
            true => self.effects.push_back(LargeEffect::Refer),
            false => self.plan(),
        }
    }

    /// Whether the delta leaves enough away, and whether it is the one that was begun.
    pub fn handle_delta(&mut self, is_worth_it: bool, is_as_begun: bool) {
        let continues = self.begun.take_if(|of| *of == BegunAs::Delta && is_as_begun).is_some();
        match is_worth_it {
            true => self.effects.push_back(LargeEffect::SendDelta { continues }),
            false => self.send_all(),
        }
    }

    /// A delta was handed on to its end; or what was begun turned out to be of another file.
    pub fn handle_delta_sent(&mut self, is_whole: bool) {
        match (is_whole, self.continues) {
            (true, _) => self.is_stored = true,
            (false, true) => self.effects.extend([LargeEffect::BeginAgain, LargeEffect::PlanDelta]),
            (false, false) => self.send_all(),
        }
    }

    /// The same of all of the file.
    pub fn handle_all_sent(&mut self, is_whole: bool) {
        self.is_stored = is_whole;
        if !is_whole && self.continues {
            self.effects.push_back(LargeEffect::BeginAgain);
            self.effects.push_back(LargeEffect::SendAll { continues: false });
        }
    }

    fn plan(&mut self) {
        match self.known.base {
            true => self.effects.push_back(LargeEffect::PlanDelta),
            false => self.send_all(),
        }
    }

    fn send_all(&mut self) {
        let begun = self.begun.take();
        if begun == Some(BegunAs::Delta) {
            self.effects.push_back(LargeEffect::BeginAgain);
        }
        let continues = begun == Some(BegunAs::All);
        self.effects.push_back(LargeEffect::SendAll { continues });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of a file, and what comes of each look at it.
    #[derive(Clone, Copy)]
    struct Case {
        tags: &'static str,
        facts: LargeFacts,
        known: LargeLookup,
        digest: Option<bool>,
        origin: bool,
        /// Whether the delta is worth it, and the one that was begun.
        delta: (bool, bool),
        /// Whether what was begun is of another file.
        is_other: bool,
    }

    fn case() -> Case {
        let facts = LargeFacts {
            size: 1000,
            nlink: 1,
            by_body: false,
            has_attributes: false,
            is_whole: true,
            has_parent: true,
            again: false,
            begun: None,
            delta_over: Some(1000),
        };
        let (known, delta) = (LargeLookup::default(), (true, true));
        Case { tags: "", facts, known, digest: Some(false), origin: false, delta, is_other: false }
    }

    /// All that is done, in words; a send that continues has a `+`, one that is stored ends in `.`.
    fn done(case: Case) -> String {
        let Case { tags, facts, known, digest, origin, delta, is_other } = case;
        let sum = "ab".repeat(32);
        let line = format!(
            "./f type=file mode=0644 uid=0 gid=0 time=0.000000000 nlink=1 size=1000 sha256digest={sum}{tags}"
        );
        let mut choice = LargeChoice::new(&Entry::parse(line.as_bytes()).unwrap(), &facts);
        let mut words = Vec::new();
        while let Some(effect) = choice.poll() {
            let plus =
                |word: &str, continues| format!("{word}{}", if continues { "+" } else { "" });
            words.push(match effect {
                LargeEffect::LookUp { base, likes } => {
                    choice.handle_likeness(LargeLookup {
                        base: known.base && base,
                        twin: known.twin && likes,
                        size: known.size && likes,
                    });
                    continue;
                }
                LargeEffect::Digest => {
                    choice.handle_digest(digest);
                    "digest".to_owned()
                }
                LargeEffect::FindOrigin => {
                    choice.handle_origin(origin);
                    "origin".to_owned()
                }
                LargeEffect::PlanDelta => {
                    choice.handle_delta(delta.0, delta.1);
                    "plan".to_owned()
                }
                LargeEffect::Keep => "keep".to_owned(),
                LargeEffect::Refer => "refer".to_owned(),
                LargeEffect::BeginAgain => "again".to_owned(),
                LargeEffect::SendDelta { continues } => {
                    choice.handle_delta_sent(!(continues && is_other));
                    plus("delta", continues)
                }
                LargeEffect::SendAll { continues } => {
                    choice.handle_all_sent(!(continues && is_other));
                    plus("all", continues)
                }
            });
        }
        words.join(" ") + if choice.is_stored() { "." } else { "" }
    }

    #[test]
    fn what_is_stored_of_a_large_file() {
        let old = " tags=in:0/3";
        let like = |base, twin, size| LargeLookup { base, twin, size };
        let (none, base) = (case(), Case { known: like(true, false, false), ..case() });
        let with = |facts| Case { facts, ..none };
        let of = |case: Case, facts: fn(&mut LargeFacts)| {
            let mut case = case;
            facts(&mut case.facts);
            case
        };
        let suspect = Case { tags: old, digest: Some(true), ..none };
        let cases = [
            ("nothing like it", none, "all."),
            ("in its old block", suspect, "digest keep"),
            ("changed since", Case { digest: Some(false), ..suspect }, "digest origin all."),
            ("not to be read", Case { digest: None, ..suspect }, "digest all."),
            ("no parent", of(suspect, |it| it.has_parent = false), "all."),
            ("with attributes", of(suspect, |it| it.has_attributes = true), "all."),
            ("of another size", of(suspect, |it| it.size = 999), "all."),
            ("holes now", of(suspect, |it| it.by_body = true), "all."),
            ("shorter than said", of(suspect, |it| it.is_whole = false), "all."),
            ("several links", of(suspect, |it| it.nlink = 2), "digest keep"),
            (
                "moved",
                Case { known: like(false, false, true), origin: true, ..none },
                "digest origin refer",
            ),
            (
                "only of the size of another",
                Case { known: like(false, false, true), ..none },
                "digest origin all.",
            ),
            (
                "twice in this run",
                Case { known: like(false, true, false), ..none },
                "digest origin refer",
            ),
            (
                "it was no twin",
                of(Case { known: like(true, true, true), ..none }, |it| it.again = true),
                "digest plan delta.",
            ),
            ("changed in part", base, "digest origin plan delta."),
            ("changed all over", Case { delta: (false, false), ..base }, "digest origin plan all."),
            ("too small for a delta", of(base, |it| it.size = 999), "all."),
            ("no deltas", of(base, |it| it.delta_over = None), "all."),
            ("a delta for one of several names", of(base, |it| it.nlink = 2), "all."),
            ("cut in it", with(LargeFacts { begun: Some(BegunAs::All), ..none.facts }), "all+."),
            (
                "cut, and another now",
                Case {
                    is_other: true,
                    ..with(LargeFacts { begun: Some(BegunAs::All), ..none.facts })
                },
                "all+ again all.",
            ),
            ("cut in it, with a base", of(base, |it| it.begun = Some(BegunAs::All)), "all+."),
            (
                "cut in its delta",
                of(base, |it| it.begun = Some(BegunAs::Delta)),
                "digest plan delta+.",
            ),
            (
                "cut in its delta, and another now",
                of(Case { is_other: true, ..base }, |it| it.begun = Some(BegunAs::Delta)),
                "digest plan delta+ again plan delta.",
            ),
            (
                "cut in another delta",
                of(Case { delta: (true, false), ..base }, |it| it.begun = Some(BegunAs::Delta)),
                "digest plan delta.",
            ),
            (
                "cut in its delta, without a base now",
                with(LargeFacts { begun: Some(BegunAs::Delta), ..none.facts }),
                "again all.",
            ),
            (
                "cut in another delta, and changed all over",
                of(Case { delta: (false, false), ..base }, |it| it.begun = Some(BegunAs::Delta)),
                "digest plan again all.",
            ),
        ];
        for (what, case, wanted) in cases {
            assert_eq!(done(case), wanted, "{what}");
        }
    }
}
