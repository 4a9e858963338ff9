//! Server-sent events (WHATWG HTML, 9.2), as far as this API uses them: an
//! event's name and its data. Bounded, whatever the server sends.

/// Bytes that one event may have.
const MAX_EVENT: usize = 64 * 1024;

/// Cuts a stream of bytes into events.
#[derive(Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    name: String,
    data: String,
}

/// Longer than any event of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Parser {
    /// Takes the next bytes and tells each event that is complete: its name
    /// and data.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut told: impl FnMut(&str, &str),
    ) -> Result<(), TooLong> {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.data.len() > MAX_EVENT {
                    return Err(TooLong);
                }
                continue;
            }
            let line = core::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                if !self.data.is_empty() {
                    told(&self.name, &self.data);
                }
                self.name.clear();
                self.data.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.name = value.into(),
                "data" => {
                    if !self.data.is_empty() {
                        self.data.push('\n');
                    }
                    self.data.push_str(value);
                }
                _ => {} // a comment (keep-alive), id or retry
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str, step: usize) -> Vec<(String, String)> {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        for piece in text.as_bytes().chunks(step) {
            parser
                .feed(piece, |name, data| out.push((name.into(), data.into())))
                .unwrap();
        }
        out
    }

    #[test]
    fn events_are_cut_wherever_the_bytes_are() {
        let text = ": hello\n\nevent: state\ndata: {\"a\":1}\n\nevent:progress\r\ndata: x\r\ndata:y\r\n\r\nid: 4\n\ndata: unfinished\n";
        for step in 1..text.len() {
            assert_eq!(
                events(text, step),
                [
                    ("state".into(), "{\"a\":1}".into()),
                    ("progress".into(), "x\ny".into())
                ]
            );
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        let long = vec![b'x'; MAX_EVENT + 1];
        assert_eq!(parser.feed(&long, |_, _| {}), Err(TooLong));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(MAX_EVENT / 4));
        let fed: Result<Vec<()>, _> = (0..8)
            .map(|_| parser.feed(line.as_bytes(), |_, _| {}))
            .collect();
        assert_eq!(fed, Err(TooLong));
    }
}
