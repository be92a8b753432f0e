//! Cases as text: a line an operation. They are made at random from a seed, and kept when they
//! found something.
//!
//! Paths are written as in a listing, without `./`. A line that cannot be done (its path is not
//! there) does nothing, so that a case stays a case when lines are taken out of it.

use std::collections::BTreeMap;

use crate::util::dice::Dice;
use crate::util::tree::root;

/// Few, so that operations meet; with those among them that sort, or print, in odd ways.
const NAMES: [&str; 12] = [
    "a",
    "b",
    "c",
    "a-",
    "a!",
    "a\\040b",
    "d\\012e",
    "\\377\\376",
    "\\303\\251",
    "x\\052\\077\\133y",
    "\\043h",
    "-rf",
];

/// Operations, each as often as its number says.
const OPERATIONS: [(&str, u64); 25] = [
    ("mkdir", 9),
    ("write", 12),
    ("replace", 5),
    ("sneak", 3),
    ("append", 5),
    ("truncate", 4),
    ("sparse", 2),
    ("big", 8),
    ("link", 12),
    ("symlink", 5),
    ("fifo", 2),
    ("char", 2),
    ("block", 1),
    ("mv", 12),
    ("cp", 12),
    ("swap", 4),
    ("rm", 9),
    ("chmod", 5),
    ("chown", 4),
    ("touch", 6),
    ("xattr", 4),
    ("unxattr", 3),
    ("acl", 3),
    ("unacl", 2),
    ("exclude", 3),
];

/// What the tree is thought to be while operations on it are thought up: `d` for directories, `x`
/// for all else.
struct Sketch {
    paths: BTreeMap<String, char>,
    /// Whether it is an ordinary user's, who makes no device and gives nothing away.
    user: bool,
}

impl Sketch {
    fn any(&self, dice: &mut Dice, wanted: &[char]) -> Option<String> {
        let found: Vec<&String> = self
            .paths
            .iter()
            .filter(|(_, kind)| wanted.contains(kind))
            .map(|(path, _)| path)
            .collect();
        (!found.is_empty()).then(|| found[dice.below(found.len() as u64) as usize].clone())
    }

    /// A path in some directory, there or not.
    fn place(&self, dice: &mut Dice) -> String {
        let name = dice.one(&NAMES);
        match self.any(dice, &['d']).filter(|dir| dir.matches('/').count() < 3) {
            Some(dir) if dice.chance(75) => format!("{dir}/{name}"),
            _ => name.to_owned(),
        }
    }

    fn remove(&mut self, path: &str) {
        self.paths.retain(|name, _| !within(name, path));
    }

    fn put(&mut self, path: &str, kind: char) {
        self.remove(path);
        self.paths.insert(path.to_owned(), kind);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let moved: Vec<(String, char)> = self
            .paths
            .iter()
            .filter(|(name, _)| within(name, from))
            .map(|(n, k)| (n.clone(), *k))
            .collect();
        self.remove(from);
        self.remove(to);
        self.paths.extend(
            moved.into_iter().map(|(name, kind)| (format!("{to}{}", &name[from.len()..]), kind)),
        );
    }
}

/// Whether a path is another or lies below it.
fn within(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A case of some rounds of operations, with a backup after each.
pub(super) fn generate(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut sketch = Sketch { paths: BTreeMap::new(), user: !root() };
    let mut lines = Vec::new();
    let user = dice.chance(25) && root();
    if user {
        sketch.user = true;
        lines.push("user".into());
    }
    let sealed = dice.one(&["", " gpg", "", "", "", "", "", "", "", "", "", ""]);
    let fixed = [
        if user { "" } else { sealed },
        dice.one(&["", " cache"]),
        dice.one(&[" compress=gzip", " compress=gzip", " compress=zstd", " compress=none"]),
    ]
    .concat();
    for _ in 0..8 {
        operation(&mut dice, &mut sketch, &mut lines);
    }
    let rounds = 2 + dice.below(4);
    for _ in 0..rounds {
        for _ in 0..2 + dice.below(14) {
            operation(&mut dice, &mut sketch, &mut lines);
        }
        if dice.chance(50) {
            lines.push("settle".into());
        }
        if dice.chance(5) {
            lines.push("forget".into());
        }
        // A run that is cut off, and what comes after it.
        while dice.chance(22) {
            lines.push(format!("{} cut={}", backup(&mut dice, &fixed), dice.below(1000)));
            if dice.chance(30) {
                operation(&mut dice, &mut sketch, &mut lines);
            }
        }
        if let Some(path) = sketch.any(&mut dice, &['d', 'x']).filter(|_| dice.chance(25)) {
            let name = dice.one(&NAMES);
            lines.push(if dice.chance(50) {
                format!("only {name} /{path}")
            } else {
                format!("only /{path}")
            });
            lines.push(backup(&mut dice, &fixed));
            lines.push("only".into());
            if dice.chance(50) {
                continue;
            }
        }
        lines.push(backup(&mut dice, &fixed));
    }
    lines
}

fn backup(dice: &mut Dice, fixed: &str) -> String {
    let course = dice.one(&[
        "",
        "",
        "",
        "",
        "",
        " tier=0",
        " tier=1",
        " tier=2",
        " tier=3",
        " full",
        " noresume",
        " noresume",
    ]);
    let block = dice.one(&["1k", "10k", "100k", "1M"]);
    let part = dice.one(&["64k", "300k", "64M"]);
    format!("backup{course}{fixed} block={block} part={part}")
}

fn operation(dice: &mut Dice, sketch: &mut Sketch, lines: &mut Vec<String>) {
    let mut turn = dice.below(OPERATIONS.iter().map(|(_, weight)| weight).sum());
    let mut names = OPERATIONS.iter();
    let name = loop {
        let (name, weight) = names.next().unwrap();
        match turn.checked_sub(*weight) {
            Some(rest) => turn = rest,
            None => break *name,
        }
    };
    if let Some(line) = line(name, dice, sketch) {
        lines.push(line);
    }
}

fn line(name: &str, dice: &mut Dice, sketch: &mut Sketch) -> Option<String> {
    let any = ['d', 'x'];
    let new = sketch.place(dice);
    // Often over what is there, whatever it is.
    let over =
        if dice.chance(25) { sketch.any(dice, &any) } else { None }.unwrap_or_else(|| new.clone());
    let size = if dice.chance(10) { 0 } else { 1 + dice.below(6000) };
    let seed = dice.below(1 << 32);
    Some(match name {
        "char" | "block" | "chown" if sketch.user => return None,
        "mkdir" => {
            sketch.put(&over, 'd');
            format!("mkdir {over}")
        }
        "write" | "replace" => {
            let path =
                if dice.chance(50) { sketch.any(dice, &['x']) } else { None }.unwrap_or(over);
            sketch.put(&path, 'x');
            format!("{name} {path} {size} {seed}")
        }
        "big" => {
            sketch.put(&over, 'x');
            format!("write {over} {} {seed}", 1_000_000 + dice.below(200_000))
        }
        "sparse" => {
            sketch.put(&over, 'x');
            format!("sparse {over} {} {}", dice.below(4_000_000), dice.below(4_000_000))
        }
        "sneak" => format!("sneak {} {seed}", sketch.any(dice, &['x'])?),
        "append" => format!("append {} {size} {seed}", sketch.any(dice, &['x'])?),
        "truncate" => format!("truncate {} {size}", sketch.any(dice, &['x'])?),
        "link" => {
            let from = sketch.any(dice, &['x'])?;
            (from != over).then(|| sketch.put(&over, 'x'))?;
            format!("link {from} {over}")
        }
        "symlink" => {
            sketch.put(&over, 'x');
            format!("symlink {over} {}", dice.one(&["a", "../b", "/etc", "no\\012where", "."]))
        }
        "fifo" | "char" | "block" => {
            sketch.put(&over, 'x');
            format!("{name} {over}")
        }
        "mv" => {
            let from = sketch.any(dice, &any)?;
            (!within(&over, &from) && !within(&from, &over))
                .then(|| sketch.rename(&from, &over))?;
            format!("mv {from} {over}")
        }
        "cp" => {
            let kind = if dice.chance(30) { 'd' } else { 'x' };
            let from = sketch.any(dice, &[kind])?;
            (!within(&over, &from) && !within(&from, &over)).then(|| sketch.put(&over, kind))?;
            format!("cp {from} {over}")
        }
        "swap" => {
            let (from, to) = (sketch.any(dice, &any)?, sketch.any(dice, &any)?);
            (!within(&to, &from) && !within(&from, &to)).then(|| {
                sketch.rename(&from, "\0");
                sketch.rename(&to, &from);
                sketch.rename("\0", &to);
            })?;
            format!("swap {from} {to}")
        }
        "rm" => {
            let path = sketch.any(dice, &any)?;
            sketch.remove(&path);
            format!("rm {path}")
        }
        "chmod" => {
            let path = some(dice, sketch);
            let modes: &[&str] = match sketch.paths.get(&path) {
                _ if !sketch.user => {
                    &["0755", "2775", "1777", "0555", "4755", "6711", "0000", "0640"]
                }
                // What its owner cannot read is not backed up, and GNU tar sets no attributes of a
                // file that its owner cannot write.
                Some('x') => &["0755", "4755", "6711", "0640"],
                _ => &["0755", "2775", "1777", "0555", "0700"],
            };
            format!("chmod {path} {}", dice.one(modes))
        }
        "chown" => format!(
            "chown {} {} {}",
            some(dice, sketch),
            dice.below(3) * 1000,
            dice.below(2) * 3_000_000
        ),
        "touch" => {
            let time = dice.one(&[
                "1500000000.5",
                "1500000000.5",
                "0.0",
                "-6.750000000",
                "4000000000.000000001",
                "now",
            ]);
            format!("touch {} {time}", some(dice, sketch))
        }
        // No tar takes attributes from the directory that it extracts into, so the root has none.
        "xattr" => format!(
            "xattr {} user.{} {}",
            sketch.any(dice, &any)?,
            dice.one(&["x", "y"]),
            dice.below(100)
        ),
        "unxattr" => format!("unxattr {} user.{}", sketch.any(dice, &any)?, dice.one(&["x", "y"])),
        "acl" => format!(
            "acl {} {}",
            sketch.any(dice, &any)?,
            dice.one(&["u:1000:r", "g:5:rwx", "d:u:1000:rx"])
        ),
        "unacl" => format!("unacl {}", sketch.any(dice, &any)?),
        _ => match dice.below(3) {
            0 => "exclude".into(),
            1 => format!("exclude {}", dice.one(&["a", "b", "c"])),
            _ => format!("exclude /{}", sketch.any(dice, &any)?),
        },
    })
}

/// Something that is there, or the root.
fn some(dice: &mut Dice, sketch: &Sketch) -> String {
    if dice.chance(5) { None } else { sketch.any(dice, &['d', 'x', 'x']) }
        .unwrap_or_else(|| ".".into())
}
