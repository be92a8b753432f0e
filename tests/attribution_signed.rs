//! What a backup builds on where `dura-index diff` is told whose signatures count.

use std::fs;

use crate::attribution::{Case, cut};
use crate::util::gpg::{KEY, OTHER};

/// What a list signed by KEY names is as good as what the journal knows: on a host that has no
/// journal, an own band is built on, and what somebody put on top of it is not.
#[test]
fn signed_lists_vouch_as_well() {
    for sealed in [false, true] {
        let mut case = Case::new(sealed);
        case.seal += &format!(" --sign {KEY}");
        case.backup(0);
        let own = case.bands().pop().unwrap();
        case.seal = case.seal.replace(&format!("--sign {KEY}"), "");
        case.plant("--full", "");
        let planted = case.bands().pop().unwrap();
        case.seal += &format!(" --sign {KEY}");
        let signed = format!("--signed-by {OTHER} --signed-by {KEY}");
        for options in [signed.clone(), format!("{signed} --no-cache")] {
            _ = fs::remove_dir_all(case.dir.join("me"));
            case.change("new");
            let before = case.bands();
            let done = case.backup_with(&options);
            assert_eq!(done.stages, [0, 1, 0, 0, 0], "{options}\n{}", done.report());
            done.tells(&format!("{planted}: ")).tells("ignored");
            let new = case.own(&before);
            assert!(new.starts_with(&own), "{new} stands on the signed band");
            case.holds_all(&new);
            fs::remove_dir_all(case.dir.join("archive").join(new)).unwrap();
        }
        // Either is enough, and neither of them builds on nothing.
        _ = fs::remove_dir_all(case.dir.join("me"));
        fs::remove_dir_all(case.dir.join("archive").join(planted)).unwrap();
        let done = case.backup_with(&signed);
        assert_eq!(done.stages, [0; 5], "{}", done.report());
        let done = case.backup_with(&format!("--signed-by {OTHER}"));
        assert_eq!(done.stages, [0; 5], "{}", done.report());
        fs::remove_dir_all(case.dir.join("me")).unwrap();
        let before = case.bands();
        let done = case.backup_with(&format!("--signed-by {OTHER}"));
        assert_eq!(done.stages, [0, 1, 0, 0, 0], "{}", done.report());
        done.tells("neither this host's journal nor a list signed by --signed-by knows it");
        let new = case.own(&before);
        assert!(!new.contains('-'), "{new} is a full band");
        case.holds_all(&new);
    }
}

/// An index that was added to an unfinished band, and one that was exchanged, are in no signed
/// list.
#[test]
fn what_is_in_no_signed_list_is_not_built_on() {
    let mut case = Case::new(false);
    case.seal = format!("--sign {KEY}");
    case.backup(0);
    let own = case.bands().pop().unwrap();
    cut(&case.dir, &own);
    let line = "s=$(dura-scan src | grep '^#source'); dura-scan evil | sed \"s|^#source .*|$s|\" | dura-index -q diff archive | dura-pack -q -C evil | dura-push -q --unsigned archive";
    assert_eq!(case.shell(line, "eve").run().code, 1);
    cut(&case.dir, &own);
    case.shell("cp -a archive kept; rm -rf me", "me").ok();
    case.change("m");
    let done = case.backup_with(&format!("--signed-by {KEY}"));
    assert_eq!(done.stages[1], 1, "{}", done.report());
    done.tells("knows index 000000032: not building on it");
    let line = format!("dura-restore -q --band {own} archive | tar tf -");
    let listed = case.shell(&line, "reader").run();
    assert!(listed.text().contains("./m\n"), "{}", listed.report());
    // The first index exchanged: nothing of the band counts, so all is stored anew.
    let index = "archive/$B/00000/000000000.mtree.gz";
    let line = format!(
        "B={own}; rm -rf me reader archive; mv kept archive; gzip -dc {index} | sed 's/^#end.*//; /^$/d' > t; echo './zzzz type=fifo mode=0600 uid=0 gid=0 time=1.000000000' >> t; gzip < t > {index}"
    );
    case.shell(&line, "me").ok();
    let done = case.backup_with(&format!("--signed-by {KEY}"));
    assert!([1, 2].contains(&done.stages[1]), "{}", done.report());
    if done.stages[1] == 1 {
        case.holds_all(&case.bands().pop().unwrap());
    }
}
