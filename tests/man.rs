//! The man pages against the programs: same options in the same order, exit statuses, environment,
//! checksums of the notes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// What the notes' checksums stand for: these files of `lib/notes`.
const NOTES: [&str; 4] = ["RECOVER.txt", "recover.sh", "rsrepair.py", "rdpatch.py"];

/// The environment that each program heeds.
const ENVIRONMENT: [(&str, &[&str]); 9] = [
    ("dura-scan", &["DURA_CACHE", "DURA_EVENTS"]),
    (
        "dura-index",
        &[
            "DURA_CACHE",
            "DURA_EVENTS",
            "DURA_PASSPHRASE_FILE",
            "GNUPGHOME",
            "XDG_CACHE_HOME",
            "XDG_STATE_HOME",
        ],
    ),
    (
        "dura-pack",
        &["DURA_CACHE", "DURA_EVENTS", "SOURCE_DATE_EPOCH", "XDG_CACHE_HOME", "XDG_STATE_HOME"],
    ),
    (
        "dura-seal",
        &["DURA_CACHE", "DURA_EVENTS", "DURA_PASSPHRASE_FILE", "GNUPGHOME", "XDG_CACHE_HOME"],
    ),
    ("dura-push", &["DURA_CACHE", "DURA_EVENTS", "GNUPGHOME", "XDG_STATE_HOME"]),
    (
        "dura-mount",
        &["DURA_CACHE", "DURA_EVENTS", "DURA_PASSPHRASE_FILE", "GNUPGHOME", "XDG_CACHE_HOME"],
    ),
    ("dura-prune", &["DURA_EVENTS"]),
    (
        "dura-restore",
        &["DURA_CACHE", "DURA_EVENTS", "DURA_PASSPHRASE_FILE", "GNUPGHOME", "XDG_CACHE_HOME"],
    ),
    (
        "dura-verify",
        &["DURA_CACHE", "DURA_EVENTS", "DURA_PASSPHRASE_FILE", "GNUPGHOME", "XDG_CACHE_HOME"],
    ),
];

/// Pages that are of no program of Cargo.toml.
const KNOWN: [&str; 6] =
    ["dura.7", "dura-archive.5", "dura-events.5", "dura-job.1", "dura-rclone.1", "dura-stores.7"];

/// The sections of a program's page, in their order.
const SECTIONS: [&str; 8] = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "ENVIRONMENT",
    "EXIT STATUS",
    "EXAMPLES",
    "DIAGNOSTICS",
    "SEE ALSO",
];

/// An option as clap or a page has it.
#[derive(Debug, PartialEq)]
struct Opt {
    short: Option<char>,
    long: Option<String>,
    value: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn command(program: &str) -> clap::Command {
    let mut command = match program {
        "dura-scan" => dura::cli::scan::command(),
        "dura-index" => dura::cli::index::command(),
        "dura-pack" => dura::cli::pack::command(),
        "dura-seal" => dura::cli::seal::command(),
        "dura-push" => dura::cli::push::command(),
        "dura-mount" => dura::cli::mount::command(),
        "dura-prune" => dura::cli::prune::command(),
        "dura-restore" => dura::cli::restore::command(),
        "dura-verify" => dura::cli::verify::command(),
        _ => panic!("{program}: this test does not know where its command() is"),
    };
    command.build();
    command
}

/// The subcommands of a program in clap's order; mostly none.
fn subcommands(program: &str) -> Vec<clap::Command> {
    command(program).get_subcommands().filter(|sub| sub.get_name() != "help").cloned().collect()
}

/// The programs that Cargo.toml names, without the one that is all of them.
pub(crate) fn programs() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let found: Vec<String> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|bin| {
            bin.split('"').nth(1).unwrap_or_else(|| panic!("a [[bin]] without a name")).to_owned()
        })
        .filter(|name| name != "dura")
        .collect();
    assert!(!found.is_empty(), "Cargo.toml names no program");
    found
}

fn page(name: &str) -> String {
    let path = root().join("man").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn program_page(program: &str) -> String {
    page(&format!("{program}.1"))
}

/// The lines of one section.
fn section<'a>(page: &'a str, title: &str) -> Vec<&'a str> {
    let heading = format!(".Sh {title}");
    let lines: Vec<&str> = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with(".Sh "))
        .collect();
    assert!(!lines.is_empty(), "the section {title} is missing or empty");
    lines
}

/// The items `.It MACRO VALUE` of a section.
fn items(page: &str, title: &str, macro_name: &str) -> Vec<String> {
    let start = format!(".It {macro_name}");
    section(page, title)
        .iter()
        .filter_map(|line| line.strip_prefix(&start))
        .map(|rest| rest.trim().to_owned())
        .collect()
}

/// The options among the lines of a page, such as `.It Fl C Ar dir , Fl -directory Ar dir`.
fn described<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Opt> {
    lines
        .filter_map(|line| line.strip_prefix(".It "))
        .filter(|item| item.starts_with("Fl "))
        .map(|item| {
            let words: Vec<&str> = item.split(' ').collect();
            let names: Vec<&str> =
                words.windows(2).filter(|pair| pair[0] == "Fl").map(|pair| pair[1]).collect();
            Opt {
                short: names
                    .iter()
                    .find(|name| !name.starts_with('-'))
                    .and_then(|name| name.chars().next()),
                long: names.iter().find_map(|name| name.strip_prefix('-')).map(str::to_owned),
                value: words.windows(2).find(|pair| pair[0] == "Ar").map(|pair| pair[1].to_owned()),
            }
        })
        .collect()
}

/// The options of a program, with those that all its subcommands share; not those of a single one.
fn page_options(page: &str) -> Vec<Opt> {
    let lines = section(page, "DESCRIPTION").into_iter();
    let list = lines.skip_while(|line| *line != "The options are as follows:");
    described(list.take_while(|line| !line.starts_with(".Ss ")))
}

/// The lines that describe a subcommand: the subsection with its name.
fn subsection<'a>(page: &'a str, subcommand: &str) -> Vec<&'a str> {
    let heading = format!(".Ss {subcommand}");
    let lines =
        section(page, "DESCRIPTION").into_iter().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| !line.starts_with(".Ss ")).collect();
    assert!(!lines.is_empty(), "the subsection {subcommand} is missing or empty");
    lines
}

/// The options in the order in which `--help` shows them.
fn clap_options(mut command: clap::Command) -> Vec<Opt> {
    let help = command.render_long_help().to_string();
    let shown: Vec<&str> =
        help.lines().map(str::trim_start).filter(|line| line.starts_with('-')).collect();
    let place = |arg: &clap::Arg| {
        let name = arg
            .get_long()
            .map_or_else(|| format!("-{}", arg.get_short().unwrap()), |long| format!("--{long}"));
        let words = |line: &str| line.split([' ', ',', '.', '[']).any(|word| word == name);
        shown
            .iter()
            .position(|line| words(line))
            .unwrap_or_else(|| panic!("{command} --help does not show {name}"))
    };
    let mut options: Vec<&clap::Arg> =
        command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
    options.sort_by_key(|arg| place(arg));
    options
        .iter()
        .map(|arg| Opt {
            short: arg.get_short(),
            long: arg.get_long().map(str::to_owned),
            value: arg
                .get_action()
                .takes_values()
                .then(|| arg.get_value_names().unwrap_or_default().join(" ").to_lowercase()),
        })
        .collect()
}

/// The options that only this subcommand of the program has.
fn own_options(program: &str, subcommand: clap::Command) -> Vec<Opt> {
    let shared = clap_options(command(program));
    clap_options(subcommand).into_iter().filter(|option| !shared.contains(option)).collect()
}

#[test]
fn options_are_those_of_the_programs_in_their_order() {
    for program in programs() {
        let page = program_page(&program);
        let (told, clap) = (page_options(&page), clap_options(command(&program)));
        assert!(told.len() > 2, "man/{program}.1: only {told:?} were found");
        assert_eq!(told, clap, "man/{program}.1 (left) and lib/cli (right) differ");
        for subcommand in subcommands(&program) {
            let name = subcommand.get_name().to_owned();
            let told = described(subsection(&page, &name).into_iter());
            assert_eq!(
                told,
                own_options(&program, subcommand),
                "man/{program}.1, {name} (left) and lib/cli (right) differ"
            );
        }
    }
}

#[test]
fn subcommands_are_those_of_the_programs_in_their_order() {
    let mut seen = 0;
    for program in programs() {
        let page = program_page(&program);
        let wanted: Vec<String> =
            subcommands(&program).iter().map(|sub| sub.get_name().to_owned()).collect();
        let told = |macro_name: &str, title: &str| -> Vec<String> {
            section(&page, title)
                .iter()
                .filter_map(|line| line.strip_prefix(macro_name))
                .map(str::to_owned)
                .collect()
        };
        if !wanted.is_empty() {
            assert_eq!(told(".Ss ", "DESCRIPTION"), wanted, "man/{program}.1: the subsections");
            assert_eq!(told(".Cm ", "SYNOPSIS"), wanted, "man/{program}.1: the synopsis");
            seen += 1;
        }
    }
    assert!(seen > 0, "no program has subcommands");
}

/// Fails unless these lines of a synopsis name the options and all operands of the command.
fn assert_synopsis(page: &str, lines: &[&str], options: Vec<Opt>, command: &clap::Command) {
    let words: Vec<&str> = lines.iter().flat_map(|line| line.split(' ')).collect();
    let flags: Vec<&str> =
        words.windows(2).filter(|pair| pair[0] == "Fl").map(|pair| pair[1]).collect();
    for option in options {
        if matches!(option.long.as_deref(), Some("help" | "version")) {
            continue;
        }
        let short = option
            .short
            .is_some_and(|c| flags.iter().any(|flag| !flag.starts_with('-') && flag.contains(c)));
        let long =
            option.long.as_ref().is_some_and(|name| flags.contains(&format!("-{name}").as_str()));
        assert!(short || long, "man/{page}: the synopsis lacks {option:?}");
    }
    for operand in command.get_positionals() {
        let name = operand.get_value_names().unwrap_or_default().join(" ").to_lowercase();
        let named = lines.iter().any(|line| {
            line.contains(&format!(".Ar {name}")) || line.contains(&format!(".Op Ar {name}"))
        });
        assert!(named, "man/{page}: the synopsis lacks {name}");
    }
}

#[test]
fn the_synopsis_holds_every_option_and_operand() {
    for program in programs() {
        let (name, page) = (format!("{program}.1"), program_page(&program));
        let synopsis = section(&page, "SYNOPSIS");
        // Each form begins with the program's name.
        let forms: Vec<&[&str]> = synopsis.split(|line| *line == ".Nm").skip(1).collect();
        assert_synopsis(&name, forms[0], clap_options(command(&program)), &command(&program));
        for subcommand in subcommands(&program) {
            let line = format!(".Cm {}", subcommand.get_name());
            let form = forms.iter().find(|form| form.contains(&line.as_str()));
            let form = form.unwrap_or_else(|| panic!("man/{name}: the synopsis lacks {line}"));
            assert_synopsis(
                &format!("{name}, {line}"),
                form,
                own_options(&program, subcommand.clone()),
                &subcommand,
            );
        }
    }
}

#[test]
fn sections_stand_in_their_order() {
    for program in programs() {
        let page = program_page(&program);
        let found: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".Sh ")).collect();
        assert_eq!(found, SECTIONS, "man/{program}.1");
        assert!(
            page.contains(&format!(".Dt {} 1\n", program.to_uppercase())),
            "man/{program}.1: .Dt names another page"
        );
    }
}

#[test]
fn exit_statuses_are_all_told() {
    for name in programs().iter().map(|program| format!("{program}.1")).chain(["dura.7".to_owned()])
    {
        assert_eq!(items(&page(&name), "EXIT STATUS", ""), ["0", "1", "2"], "man/{name}");
    }
}

/// The names of the variables that the library asks the environment for.
fn asked_for() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root().join("lib")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                for call in ["env::var(\"", "env::var_os(\"", "var_os(\"", ".env(\"", "env = \""] {
                    found.extend(
                        source
                            .split(call)
                            .skip(1)
                            .filter_map(|rest| rest.split('"').next())
                            .map(str::to_owned),
                    );
                }
            }
        }
    }
    found
}

#[test]
fn the_environment_is_told() {
    let overview = items(&page("dura.7"), "ENVIRONMENT", "Ev");
    let mut told = BTreeSet::new();
    for program in programs() {
        let (_, wanted) = ENVIRONMENT
            .iter()
            .find(|(name, _)| *name == program)
            .unwrap_or_else(|| panic!("{program}: no list"));
        assert!(!wanted.is_empty());
        assert_eq!(items(&program_page(&program), "ENVIRONMENT", "Ev"), *wanted, "man/{program}.1");
        told.extend(wanted.iter().copied());
    }
    assert_eq!(overview.iter().map(String::as_str).collect::<BTreeSet<_>>(), told, "man/dura.7");
    let stores = page("dura-stores.7");
    let stores = items(&stores, "ENVIRONMENT", "Ev");
    told.extend(stores.iter().flat_map(|names| names.split(" , ")));
    // Those that are no one's business: the language of messages, and what shells and terminals
    // set.
    let silent = ["COLUMNS", "HOME", "LANG", "LANGUAGE", "LC_ALL", "PATH", "TERM", "TMPDIR", "TZ"];
    for name in asked_for() {
        assert!(
            told.contains(name.as_str()) || silent.contains(&name.as_str()),
            "{name} is heeded and in no man page"
        );
    }
}

#[test]
fn every_page_is_of_a_program_or_known() {
    let programs = programs();
    let mut seen = 0;
    for path in fs::read_dir(root().join("man")).unwrap().map(|item| item.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let known = KNOWN.contains(&name.as_str());
        assert!(
            known || programs.iter().any(|program| name == format!("{program}.1")),
            "man/{name}: of no program"
        );
        seen += 1;
    }
    assert_eq!(seen, programs.len() + KNOWN.len(), "a page is missing");
}

#[test]
fn mandoc_finds_nothing_to_say() {
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root().join("man")).unwrap().map(|item| item.unwrap().path()).collect();
    pages.sort();
    assert!(!pages.is_empty());
    // In their own folder, so that mandoc finds the pages that they name.
    let ran = Command::new("mandoc")
        .args(["-Tlint", "-Wstyle"])
        .args(pages.iter().map(|page| page.file_name().unwrap()))
        .current_dir(root().join("man"))
        .output()
        .unwrap_or_else(|e| panic!("mandoc: {e}: install the Debian package mandoc"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(said.is_empty() && ran.status.success(), "\n{said}");
}

#[test]
fn the_notes_checksums_are_told() {
    let told: Vec<String> = page("dura-archive.5").lines().map(str::to_owned).collect();
    let wanted: Vec<String> = NOTES
        .iter()
        .map(|name| {
            format!(
                "{}  {name}",
                hex::encode(Sha256::digest(fs::read(root().join("lib/notes").join(name)).unwrap()))
            )
        })
        .collect();
    for (name, line) in NOTES.iter().zip(&wanted) {
        let stands = told
            .iter()
            .filter(|text| text.ends_with(&format!("  {name}")) && text.len() > 64)
            .collect::<Vec<_>>();
        assert_eq!(
            stands,
            [line],
            "man/dura-archive.5 must hold these lines:\n{}\n",
            wanted.join("\n")
        );
    }
}
