//! What is stored again because its block is lost.

use super::*;

/// What lies in a lost block is recorded with its content, and so is a name whose first name is.
#[test]
fn what_is_distrusted_is_stored_anew() {
    let version = [
        ". dir",
        "./a file s5 n2 i9",
        "7: ./b file s5",
        "./c file s5",
        "8: ./d file s5 n2 i9 h./a",
        "7: ./e dir x",
        "./f file s5",
    ];
    // In the layer, ./c has another mode, and its content where it was.
    let layer = ["./c file s5 m600 in0/7"];
    let scan = entries(&[
        ". dir",
        "./a file s5 n2 i9",
        "./b file s5",
        "./c file s5 m600",
        "./d file s5 n2 i9 h./a",
        "./e dir x",
        "./f file s5",
    ]);
    let names = ["20261101T020000Z", "20261101T020000Z-20261108T020000Z"];
    let chain = names.map(|name| name.parse().unwrap());
    let recorded = |findings: &[&str]| {
        let distrust = Distrust::read(&findings.join("\n"), &chain).unwrap();
        let tiers = [tier(&version), tier(&layer)];
        let run = run::run_distrusting(on(2), false, &scan, &tiers, distrust);
        assert!(run.records.iter().all(|entry| entry.within.is_none()), "{:?}", run.records);
        let paths: Vec<String> = run.records.iter().map(|entry| entry.path.to_string()).collect();
        paths.join(" ")
    };
    let lost = |object: &str| recorded(&[&format!("missing {}/00000/{object}: gone", names[0])]);
    assert_eq!(recorded(&[]), "");
    assert_eq!(lost("000000009.tar.gz"), "");
    assert_eq!(lost("000000007.tar.gz"), ". ./b ./c ./e");
    assert_eq!(lost("000000008.tar.gz"), ". ./d");
    assert_eq!(lost("000000000.tar.gz.000002"), ". ./a ./d ./f");
    let file = format!("file {}/./f: lost", names[1]);
    assert_eq!(recorded(&[&file]), ". ./f");
}
