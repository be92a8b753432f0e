//! The XML in which servers answer, read as a row of elements, each with its text.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Deeper than any answer of a server.
const MAX_DEPTH: usize = 32;

/// The server's answer cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the server's answer is not the expected XML")]
pub struct BadXml;

/// Calls `end` at the end of each element with its path of local names from the root on, and its
/// own text. Fails if the document is cut off.
pub(super) fn elements(xml: &[u8], mut end: impl FnMut(&[&str], &str)) -> Result<(), BadXml> {
    let xml = std::str::from_utf8(xml).map_err(|_| BadXml)?;
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<(String, String)> = Vec::new();
    let mut roots = 0;
    loop {
        let event = reader.read_event().map_err(|_| BadXml)?;
        let text = match &event {
            Event::Start(start) | Event::Empty(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(BadXml);
                }
                open.push((start.local_name().into_inner().to_owned(), String::new()));
                None
            }
            Event::Text(text) => Some(text.xml10_content().into_owned()),
            Event::CData(text) => Some(text.xml10_content().into_owned()),
            Event::GeneralRef(name) => match name.resolve_char_ref().map_err(|_| BadXml)? {
                Some(c) => Some(c.to_string()),
                None => Some(
                    quick_xml::escape::resolve_predefined_entity(&name.xml10_content())
                        .ok_or(BadXml)?
                        .to_owned(),
                ),
            },
            Event::Eof => return if open.is_empty() && roots == 1 { Ok(()) } else { Err(BadXml) },
            _ => None,
        };
        if let (Some(text), Some((_, own))) = (text, open.last_mut()) {
            own.push_str(&text);
        }
        if matches!(event, Event::End(_) | Event::Empty(_)) {
            let path: Vec<&str> = open.iter().map(|(name, _)| name.as_str()).collect();
            end(&path, open.last().map_or("", |(_, text)| text));
            open.pop();
            roots += usize::from(open.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(xml: &str) -> Option<Vec<String>> {
        let mut found = Vec::new();
        elements(xml.as_bytes(), |path, text| found.push(format!("{}={text}", path.join("/"))))
            .ok()?;
        Some(found)
    }

    #[test]
    fn elements_have_their_own_text() {
        let xml = "<?xml version='1.0'?><!-- c --><D:a xmlns:D='DAV:'><D:b x='1'>1 &lt;&#x41;&amp;</D:b><c/><![CDATA[<]]></D:a>\n";
        assert_eq!(seen(xml).unwrap(), ["a/b=1 <A&", "a/c=", "a=<"]);
    }

    #[test]
    fn what_is_cut_or_odd_is_refused() {
        let xml = "<a><b>text</b></a>";
        assert!(seen(xml).is_some());
        for end in 0..xml.len() {
            assert_eq!(seen(&xml[..end]), None, "{end}");
        }
        for odd in ["<a></b>", "<a>&unknown;</a>", "<a/><a/>", "text", &"<a>".repeat(40)] {
            assert_eq!(seen(odd), None, "{odd}");
        }
        assert!(elements(b"<a>\xff</a>", |_, _| ()).is_err());
    }
}
