//! Just enough XML to verify NVIDIA's reference integrity manifests: reads a
//! document without a type declaration, entities of its own, processing
//! instructions, comments or CDATA, and writes Canonical XML 1.1 without
//! comments (W3C, 2008) of it or of one element.
//!
//! What is read and what is canonicalised is the same list of events, so that
//! nothing can be read that was not digested.

use quick_xml::{
    escape::unescape,
    events::{BytesStart, Event as Raw},
    reader::Reader,
};
use std::{borrow::Cow, collections::BTreeMap, ops::RangeInclusive, sync::Arc};

/// Bytes of a document that is read at most; NVIDIA's have 20 to 30 KiB.
pub(crate) const MAX_XML: usize = 256 * 1024;
const MAX_EVENTS: usize = 4096;
const MAX_DEPTH: usize = 16;
const MAX_ATTRIBUTES: usize = 128;
const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// What keeps a document from being read.
pub(crate) type Why = &'static str;

/// A name: prefix as it is written (empty if none), local part, namespace
/// (empty if none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    prefix: String,
    local: String,
    namespace: String,
}

impl Name {
    pub(crate) fn is(&self, namespace: &str, local: &str) -> bool {
        // Local parts differ early; namespaces are long, and often the same.
        self.local == local && self.namespace == namespace
    }

    /// The local part, if the name is of that namespace.
    pub(crate) fn local_in(&self, namespace: &str) -> Option<&str> {
        (self.namespace == namespace).then_some(self.local.as_str())
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.prefix.is_empty() {
            out.extend_from_slice(self.prefix.as_bytes());
            out.push(b':');
        }
        out.extend_from_slice(self.local.as_bytes());
    }
}

/// Shared with the element around, unless it declares another.
type Scope = Arc<BTreeMap<String, String>>;

#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) name: Name,
    /// Namespaces in scope, by prefix; the empty prefix is the default one.
    scope: Scope,
    attributes: Vec<(Name, String)>,
}

impl Element {
    /// An attribute's value.
    pub(crate) fn attribute(&self, namespace: &str, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find_map(|(name, value)| name.is(namespace, local).then_some(value.as_str()))
    }
}

#[derive(Debug, Clone)]
enum Event {
    Start(Box<Element>),
    Text(String),
    End,
}

/// A document that was read.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    events: Vec<Event>,
}

/// An element of a document: the places of its start and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node(RangeInclusive<usize>);

impl Document {
    /// Reads one.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Why> {
        if bytes.len() > MAX_XML {
            return Err("too long");
        }
        let text = core::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        if text
            .chars()
            .any(|c| c.is_control() && !"\t\n\r".contains(c))
        {
            return Err("a control character");
        }
        let text = one_line_end(text);
        let mut reader = Reader::from_str(&text);
        reader.config_mut().expand_empty_elements = true;
        let mut builder = Builder::default();
        let mut first = true;
        loop {
            match reader.read_event().map_err(|_| "not well-formed XML")? {
                Raw::Start(start) => builder.start(&start)?,
                Raw::End(_) => builder.end()?,
                Raw::Text(text) => {
                    builder.text(&text)?;
                }
                Raw::GeneralRef(reference) => {
                    let text = format!("&{};", &*reference);
                    builder.literal(&unescape(&text).map_err(|_| "an entity of its own")?)?;
                }
                Raw::Decl(_) if first => {}
                Raw::Eof => break,
                _ => return Err("has a declaration, instruction, comment or CDATA"),
            }
            first = false;
        }
        builder.finish()
    }

    fn element_at(&self, at: usize) -> Option<&Element> {
        match self.events.get(at) {
            Some(Event::Start(element)) => Some(element),
            _ => None,
        }
    }

    /// The document's one outermost element.
    pub(crate) fn root(&self) -> Node {
        Node(0..=self.events.len().saturating_sub(1))
    }

    /// Name and attributes of an element.
    pub(crate) fn element(&self, node: &Node) -> Option<&Element> {
        self.element_at(*node.0.start())
    }

    /// An element's child elements, in order.
    pub(crate) fn children(&self, node: &Node) -> Vec<(Node, &Element)> {
        let mut children = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        for at in node.0.start() + 1..*node.0.end() {
            match self.events.get(at) {
                Some(Event::Start(_)) => open.push(at),
                Some(Event::End) => {
                    if let Some(start) = open.pop()
                        && open.is_empty()
                        && let Some(element) = self.element_at(start)
                    {
                        children.push((Node(start..=at), element));
                    }
                }
                _ => {}
            }
        }
        children
    }

    /// The one child of that name, if there is exactly one.
    pub(crate) fn child(&self, node: &Node, namespace: &str, local: &str) -> Option<Node> {
        let mut children = self.children(node).into_iter();
        let mut named = children
            .by_ref()
            .filter(|(_, e)| e.name.is(namespace, local));
        let (only, _) = named.next()?;
        named.next().is_none().then_some(only)
    }

    /// The text of an element that has no child elements.
    pub(crate) fn text(&self, node: &Node) -> Option<String> {
        let mut out = String::new();
        for event in self.events.get(node.0.start() + 1..*node.0.end())? {
            match event {
                Event::Text(text) => out.push_str(text),
                _ => return None,
            }
        }
        Some(out)
    }

    /// Whether an element has text other than white space of its own or
    /// below it.
    pub(crate) fn has_text(&self, node: &Node) -> bool {
        self.events.get(node.0.clone()).is_some_and(|events| {
            events
                .iter()
                .any(|event| matches!(event, Event::Text(text) if !text.trim().is_empty()))
        })
    }

    /// Canonical XML 1.1 of one element, without the element `without` below
    /// it. It is the apex of what is written, so that it gets every namespace
    /// in scope, and `xml:lang` and `xml:space` of the elements around it.
    pub(crate) fn canonical(&self, node: &Node, without: Option<&Node>) -> Vec<u8> {
        let mut out = Vec::new();
        // Elements that were opened and not closed yet.
        let mut open: Vec<&Element> = Vec::new();
        let inherited = self.inherited(node);
        for (at, event) in self.events.iter().enumerate() {
            if !node.0.contains(&at) || without.is_some_and(|without| without.0.contains(&at)) {
                continue;
            }
            match event {
                Event::Start(element) => {
                    let above = open.last().copied();
                    let inherited = if above.is_none() { &inherited[..] } else { &[] };
                    start_tag(&mut out, element, above, inherited);
                    open.push(element);
                }
                Event::Text(text) => escape_text(text, &mut out),
                Event::End => {
                    if let Some(element) = open.pop() {
                        out.extend_from_slice(b"</");
                        element.name.write(&mut out);
                        out.push(b'>');
                    }
                }
            }
        }
        out
    }

    /// `xml:lang` and `xml:space` around an element, the nearest of each.
    fn inherited(&self, node: &Node) -> Vec<&(Name, String)> {
        let mut around: Vec<&Element> = Vec::new();
        for event in self.events.iter().take(*node.0.start()) {
            match event {
                Event::Start(element) => around.push(element),
                Event::End => {
                    around.pop();
                }
                Event::Text(_) => {}
            }
        }
        let mut inherited: Vec<&(Name, String)> = Vec::new();
        let attributes = around.iter().rev().flat_map(|element| &element.attributes);
        for attribute in attributes.filter(|(name, _)| name.namespace == XML_NAMESPACE) {
            if !inherited
                .iter()
                .any(|(name, _)| name.local == attribute.0.local)
            {
                inherited.push(attribute);
            }
        }
        inherited
    }
}

/// XML 1.0, 2.11: every line ends in one line feed.
fn one_line_end(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

#[derive(Default)]
struct Builder {
    events: Vec<Event>,
    /// Places of elements that are open.
    open: Vec<usize>,
    closed: bool,
}

impl Builder {
    fn push(&mut self, event: Event) -> Result<(), Why> {
        if self.events.len() >= MAX_EVENTS {
            return Err("too many elements");
        }
        self.events.push(event);
        Ok(())
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Why> {
        if self.closed || self.open.len() >= MAX_DEPTH {
            return Err("elements nested too deep, or after the outermost");
        }
        let mut scope = match self.open.last().and_then(|at| self.events.get(*at)) {
            Some(Event::Start(around)) => Arc::clone(&around.scope),
            _ => Scope::default(),
        };
        let attributes = attributes(start, &mut scope)?;
        let (prefix, local) = split(start.name().into_inner())?;
        let element = Element {
            name: resolve(prefix, local, &scope)?,
            attributes,
            scope,
        };
        self.open.push(self.events.len());
        self.push(Event::Start(Box::new(element)))
    }

    fn end(&mut self) -> Result<(), Why> {
        self.open.pop().ok_or("an end without a start")?;
        self.closed = self.open.is_empty();
        self.push(Event::End)
    }

    /// Text as it is written, with no references in it.
    fn text(&mut self, text: &str) -> Result<(), Why> {
        if text.contains("]]>") || text.contains('&') {
            return Err("not well-formed XML");
        }
        self.literal(text)
    }

    /// Text as it is meant. Parts that meet are one.
    fn literal(&mut self, text: &str) -> Result<(), Why> {
        if self.open.is_empty() {
            // Around the outermost element: white space, which is dropped.
            return if text.trim().is_empty() {
                Ok(())
            } else {
                Err("text outside of the outermost element")
            };
        }
        if let Some(Event::Text(before)) = self.events.last_mut() {
            before.push_str(text);
            return Ok(());
        }
        self.push(Event::Text(text.to_owned()))
    }

    fn finish(self) -> Result<Document, Why> {
        if self.closed && self.open.is_empty() {
            Ok(Document {
                events: self.events,
            })
        } else {
            Err("not one whole element")
        }
    }
}

/// An element's attributes; its namespace declarations go into `scope`.
fn attributes(start: &BytesStart<'_>, scope: &mut Scope) -> Result<Vec<(Name, String)>, Why> {
    let mut written: Vec<(String, String)> = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| "an attribute twice, or not well-formed")?;
        if written.len() >= MAX_ATTRIBUTES {
            return Err("too many attributes");
        }
        if attribute.value.contains('<') {
            return Err("not well-formed XML");
        }
        // XML 1.0, 3.3.3: white space that is written so becomes a space.
        let value = attribute.value.replace(['\t', '\n'], " ");
        let value = unescape(&value).map_err(|_| "an entity of its own")?;
        written.push((attribute.key.into_inner().to_owned(), value.into_owned()));
    }
    for (name, value) in &written {
        let prefix = match name.split_once(':') {
            None if name == "xmlns" => "",
            Some(("xmlns", prefix)) => prefix,
            _ => continue,
        };
        // The prefixes xml and xmlns may not be declared, nor others undone.
        let undone = value.is_empty() && !prefix.is_empty();
        if undone || prefix == "xml" || prefix == "xmlns" || !(prefix.is_empty() || is_name(prefix))
        {
            return Err("a namespace that may not be declared");
        }
        Arc::make_mut(scope).insert(prefix.to_owned(), value.clone());
    }
    let mut attributes: Vec<(Name, String)> = Vec::new();
    for (name, value) in written {
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let (prefix, local) = split(&name)?;
        let name = if prefix.is_empty() {
            Name {
                prefix: String::new(),
                local: local.to_owned(),
                namespace: String::new(), // the default one is not for attributes
            }
        } else {
            resolve(prefix, local, scope)?
        };
        if name.namespace == XML_NAMESPACE && name.local != "lang" && name.local != "space" {
            return Err("an xml: attribute other than lang and space");
        }
        if attributes
            .iter()
            .any(|(other, _)| other.is(&name.namespace, &name.local))
        {
            return Err("an attribute twice, or not well-formed");
        }
        attributes.push((name, value));
    }
    // Canonical order: by namespace, then by name.
    attributes.sort_by(|(a, _), (b, _)| (&a.namespace, &a.local).cmp(&(&b.namespace, &b.local)));
    Ok(attributes)
}

/// Prefix, or none, and local part.
fn split(name: &str) -> Result<(&str, &str), Why> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    if is_name(local) && (!name.contains(':') || is_name(prefix)) {
        Ok((prefix, local))
    } else {
        Err("a name that is none")
    }
}

/// ASCII names only: no RIM has others.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

fn resolve(prefix: &str, local: &str, scope: &BTreeMap<String, String>) -> Result<Name, Why> {
    let namespace = match (prefix, scope.get(prefix)) {
        ("xml", _) => XML_NAMESPACE.to_owned(),
        (_, Some(namespace)) => namespace.clone(),
        ("", None) => String::new(),
        (_, None) => return Err("a prefix that was not declared"),
    };
    Ok(Name {
        prefix: prefix.to_owned(),
        local: local.to_owned(),
        namespace,
    })
}

fn start_tag(
    out: &mut Vec<u8>,
    element: &Element,
    above: Option<&Element>,
    inherited: &[&(Name, String)],
) {
    out.push(b'<');
    element.name.write(out);
    for (prefix, namespace) in &*element.scope {
        let before = above.and_then(|above| above.scope.get(prefix));
        // No default namespace is what there is before one is declared.
        if before.map_or("", String::as_str) == namespace {
            continue;
        }
        out.extend_from_slice(b" xmlns");
        if !prefix.is_empty() {
            out.push(b':');
            out.extend_from_slice(prefix.as_bytes());
        }
        attribute_value(namespace, out);
    }
    let own = |name: &Name| {
        element
            .attributes
            .iter()
            .any(|(other, _)| other.is(&name.namespace, &name.local))
    };
    let mut attributes: Vec<&(Name, String)> = element.attributes.iter().collect();
    attributes.extend(inherited.iter().filter(|(name, _)| !own(name)));
    attributes.sort_by(|(a, _), (b, _)| (&a.namespace, &a.local).cmp(&(&b.namespace, &b.local)));
    for (name, value) in attributes {
        out.push(b' ');
        name.write(out);
        attribute_value(value, out);
    }
    out.push(b'>');
}

fn attribute_value(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"=\"");
    for byte in value.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\t' => out.extend_from_slice(b"&#x9;"),
            b'\n' => out.extend_from_slice(b"&#xA;"),
            b'\r' => out.extend_from_slice(b"&#xD;"),
            other => out.push(other),
        }
    }
    out.push(b'"');
}

fn escape_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'\r' => out.extend_from_slice(b"&#xD;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let document = Document::parse(text.as_bytes()).unwrap();
        String::from_utf8(document.canonical(&document.root(), None)).unwrap()
    }

    /// Canonical XML 1.1, section 3.3 (start and end tags), without its
    /// attributes by default, which need a type declaration.
    #[test]
    fn start_and_end_tags() {
        let text = "<doc>\n   <e1   />\n   <e2   ></e2>\n   \
            <e3   name = \"elem3\"   id=\"elem3\"   />\n   \
            <e5 a:attr=\"out\" b:attr=\"sorted\" attr2=\"all\" attr=\"I'm\"\n      \
            xmlns:b=\"http://www.ietf.org\"\n      xmlns:a=\"http://www.w3.org\"\n      \
            xmlns=\"http://example.org\"/>\n   \
            <e6 xmlns=\"\" xmlns:a=\"http://www.w3.org\">\n      \
            <e7 xmlns=\"http://www.ietf.org\">\n         \
            <e8 xmlns=\"\" xmlns:a=\"http://www.w3.org\">\n            \
            <e9 xmlns=\"\" xmlns:a=\"http://www.ietf.org\"/>\n         \
            </e8>\n      </e7>\n   </e6>\n</doc>";
        let expected = "<doc>\n   <e1></e1>\n   <e2></e2>\n   \
            <e3 id=\"elem3\" name=\"elem3\"></e3>\n   \
            <e5 xmlns=\"http://example.org\" xmlns:a=\"http://www.w3.org\" \
            xmlns:b=\"http://www.ietf.org\" attr=\"I'm\" attr2=\"all\" \
            b:attr=\"sorted\" a:attr=\"out\"></e5>\n   \
            <e6 xmlns:a=\"http://www.w3.org\">\n      \
            <e7 xmlns=\"http://www.ietf.org\">\n         \
            <e8 xmlns=\"\">\n            \
            <e9 xmlns:a=\"http://www.ietf.org\"></e9>\n         \
            </e8>\n      </e7>\n   </e6>\n</doc>";
        assert_eq!(canonical(text), expected);
    }

    /// Section 3.4 (character modifications and character references).
    #[test]
    fn characters_and_references() {
        let text = "<doc>\n   <text>First line&#x0d;&#10;Second line</text>\n   \
            <value>&#x32;</value>\n   \
            <compute expr='value>\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"'>valid</compute>\n   \
            <norm attr=' &apos;   &#x20;&#13;&#xa;&#9;   &apos; '/>\n</doc>";
        let expected = "<doc>\n   <text>First line&#xD;\nSecond line</text>\n   \
            <value>2</value>\n   \
            <compute expr=\"value>&quot;0&quot; &amp;&amp; value&lt;&quot;10&quot; ?&quot;valid&quot;:&quot;error&quot;\">valid</compute>\n   \
            <norm attr=\" '    &#xD;&#xA;&#x9;   ' \"></norm>\n</doc>";
        assert_eq!(canonical(text), expected);
    }

    #[test]
    fn lines_end_in_one_line_feed_and_nothing_is_around_the_element() {
        let text = "<?xml version=\"1.0\"?>\r\n\r\n<a b=\"1\r\n2\">\r\n\r</a>\r\n";
        assert_eq!(canonical(text), "<a b=\"1 2\">\n\n</a>");
    }

    #[test]
    fn an_apex_has_all_that_is_in_scope() {
        let text = "<a xmlns=\"urn:a\" xmlns:p=\"urn:p\" xml:lang=\"en\" xml:space=\"default\">\
            <b xml:lang=\"de\"><p:c xml:space=\"preserve\"><d/></p:c><e/></b></a>";
        let document = Document::parse(text.as_bytes()).unwrap();
        let b = document.child(&document.root(), "urn:a", "b").unwrap();
        let c = document.child(&b, "urn:p", "c").unwrap();
        assert_eq!(
            String::from_utf8(document.canonical(&c, None)).unwrap(),
            "<p:c xmlns=\"urn:a\" xmlns:p=\"urn:p\" xml:lang=\"de\" xml:space=\"preserve\"><d></d></p:c>"
        );
        assert_eq!(
            String::from_utf8(document.canonical(&document.root(), Some(&c))).unwrap(),
            "<a xmlns=\"urn:a\" xmlns:p=\"urn:p\" xml:lang=\"en\" xml:space=\"default\">\
             <b xml:lang=\"de\"><e></e></b></a>"
        );
    }

    #[test]
    fn what_is_not_of_the_profile_is_refused() {
        let deep = [vec!["<a>"; 17], vec!["</a>"; 17]].concat().concat();
        let many = format!("<a>{}</a>", "<b/>".repeat(2100));
        let wide: String = (0..200).map(|at| format!(" a{at}=\"\"")).collect();
        let wide = format!("<a{wide}/>");
        for bad in [
            "",
            "x",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a b=\"1\" b=\"2\"/>",
            "<a xmlns:p=\"urn:p\" xmlns:q=\"urn:p\" p:b=\"\" q:b=\"\"/>",
            "<a b=1/>",
            "<a b/>",
            "<a b=\"<\"/>",
            "<a>&b;</a>",
            "<a b=\"&b;\"/>",
            "<a>&#0;</a>",
            "<a>]]></a>",
            "<a>&</a>",
            "<p:a/>",
            "<a p:b=\"\"/>",
            "<a xmlns:p=\"\"/>",
            "<a xmlns:xml=\"urn:p\"/>",
            "<a xmlns:xmlns=\"urn:p\"/>",
            "<a xml:id=\"b\"/>",
            "<a xml:base=\"b\"/>",
            "<a:b:c xmlns:a=\"urn:p\"/>",
            "<\u{e4}/>",
            "<a><!-- --></a>",
            "<a><?b?></a>",
            "<a><![CDATA[b]]></a>",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            " <?xml version=\"1.0\"?><a/>",
            "<a>\u{1}</a>",
            &deep,
            &many,
            &wide,
        ] {
            let short: String = bad.chars().take(60).collect();
            assert!(Document::parse(bad.as_bytes()).is_err(), "{short}");
        }
        assert!(Document::parse(b"<a>\xff</a>").is_err());
        assert!(Document::parse(&vec![b' '; MAX_XML + 1]).is_err());
    }
}
