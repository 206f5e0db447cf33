//! Renders texts of mails, which operators may write: bounded in time, memory and output.
//!
//! The language is minijinja's, cut down until nothing that a text computes can be given a name:
//! then what it costs grows with its length, and with how often its loops run, which fuel bounds.

use std::io;

use minijinja::value::ValueKind;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, escape_formatter, filters,
};

/// Steps that rendering one text may take.
const FUEL: u64 = 50_000;
/// Longest text that comes out, in bytes.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Characters of a reason that are told.
const REASON_CHARS_MAX: usize = 200;
/// What may stand in `{% … %}`.
const STATEMENTS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];
/// What could make much of little, outside of quotes.
const OPERATORS_REFUSED: &[char] = &['~', '*', '[', '{'];

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Values are escaped.
    Html,
}

/// Fills a text in.
///
/// # Errors
/// One line that says why it cannot be.
pub fn render(source: &str, form: Form, facts: &Value) -> Result<String, String> {
    check(source)?;
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // A line with nothing but a statement on it leaves no line.
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    environment.set_auto_escape_callback(move |_| match form {
        Form::Plain => AutoEscape::None,
        Form::Html => AutoEscape::Html,
    });
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None => Ok(()),
        ValueKind::Bool | ValueKind::Number | ValueKind::String => {
            escape_formatter(out, state, value)
        }
        // Also what would be reported as undefined.
        ValueKind::Undefined => escape_formatter(out, state, value),
        kind => {
            let message = format!("a {kind} cannot be written out");
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    });
    environment.add_filter("default", filters::default);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    let mut out = Bounded(Vec::new());
    let rendered = environment
        .template_from_named_str("text", source)
        .and_then(|template| template.render_captured_to(facts, &mut out).map(|_| ()));
    if out.is_full() {
        return Err(format!("it comes out longer than {OUTPUT_BYTES_MAX} bytes"));
    }
    rendered.map_err(|error| reason(&error))?;
    String::from_utf8(out.0).map_err(|error| error.to_string())
}

fn reason(error: &Error) -> String {
    let mut reason = match (error.detail(), error.line()) {
        (Some(detail), Some(line)) => format!("{}: {detail} (line {line})", error.kind()),
        (None, Some(line)) => format!("{} (line {line})", error.kind()),
        (_, None) => error.to_string(),
    };
    reason.retain(|c| !c.is_control());
    reason.chars().take(REASON_CHARS_MAX).collect()
}

/// Output that ends at [`OUTPUT_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl Bounded {
    fn is_full(&self) -> bool {
        self.0.len() > OUTPUT_BYTES_MAX
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_BYTES_MAX + 1)]);
        if self.is_full() { Err(io::Error::other("too long")) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refuses what is left out of the language.
fn check(source: &str) -> Result<(), String> {
    let mut rest = source;
    while let Some((at, open)) = first_of(rest, &["{{", "{%", "{#"]) {
        rest = &rest[at + open.len()..];
        if open == "{#" {
            rest = rest.find("#}").map_or("", |end| &rest[end..]);
            continue;
        }
        let end = tag_end(rest, if open == "{{" { "}}" } else { "%}" })?;
        if open == "{%" {
            check_statement(rest[..end].trim_matches(['-', '+']).trim())?;
        }
        rest = &rest[end..];
    }
    Ok(())
}

/// The first of these that occurs.
fn first_of<'a>(text: &str, sought: &[&'a str]) -> Option<(usize, &'a str)> {
    sought.iter().filter_map(|part| text.find(part).map(|at| (at, *part))).min()
}

/// Where a tag ends: what is in quotes does not end it. One that never ends is for the compiler to
/// refuse.
fn tag_end(text: &str, close: &str) -> Result<usize, String> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            None if text[at..].starts_with(close) => return Ok(at),
            None if c == '"' || c == '\'' => quote = Some(c),
            None if OPERATORS_REFUSED.contains(&c) => {
                return Err(format!("`{c}` is not available in texts of mails"));
            }
            Some(_) | None => {}
        }
    }
    Ok(text.len())
}

fn check_statement(statement: &str) -> Result<(), String> {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let first = words.first().copied().unwrap_or_default();
    let word: String = first.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if !STATEMENTS.contains(&word.as_str()) {
        return Err(format!("`{word}` is not available in texts of mails"));
    }
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let is_plain_loop =
        matches!(words[..], ["for", name, "in", list] if is_name(name) && is_name(list));
    if word == "for" && !is_plain_loop {
        return Err("a loop is `for NAME in NAME`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Value {
        let list: Vec<i64> = (0..100).collect();
        let value = |value: &str| Value::from(value);
        Value::from_iter([
            ("name", value("<b>\"x\"</b>")),
            ("missing", Value::from(())),
            ("list", Value::from_serialize(list)),
        ])
    }

    fn plain(source: &str) -> Result<String, String> {
        render(source, Form::Plain, &facts())
    }

    #[test]
    fn values_are_escaped_in_html_alone() {
        let source = "{{ name }}{{ missing }}{% if not missing %}!{% endif %}";
        assert_eq!(plain(source).unwrap(), "<b>\"x\"</b>!");
        let html = render(source, Form::Html, &facts()).unwrap();
        assert_eq!(html, "&lt;b&gt;&quot;x&quot;&lt;&#x2f;b&gt;!");
    }

    #[test]
    fn there_are_branches_loops_filters_and_comments() {
        let source = "{# ~ #}{%- for n in list -%}{% if n < 3 %}{{ n }}{% elif n == 3 %}~{% else %}\
                      {% endif %}{% endfor %}{{ '}}{{ ~*' | upper }}{{ missing | default('-', true) }}\
                      {{ list | length }}";
        assert_eq!(plain(source).unwrap(), "012~}}{{ ~*-100");
    }

    #[test]
    fn what_cannot_be_rendered_is_refused_with_one_line() {
        for (source, reason) in [
            ("{{ nonesuch }}", "undefined value"),
            ("{{ name.a.b }}", "undefined value"),
            ("{{ name", "syntax error"),
            ("{% if %}", "syntax error"),
            ("{% endif %}", "syntax error"),
            ("{{ name | nonesuch }}", "unknown filter"),
            ("{{ name | safe }}", "unknown filter"),
            ("{{ range(3) }}", "unknown function"),
            ("{{ list }}", "cannot be written out"),
            ("{{ 1 // 0 }}", ""),
        ] {
            let error = plain(source).unwrap_err();
            assert!(error.contains(reason) && error.lines().count() == 1, "{source}: {error}");
        }
    }

    #[test]
    fn nothing_that_a_text_makes_can_be_named() {
        for source in [
            "{% set x = 'a' %}",
            "{%set x%}a{%endset%}",
            "{%- with x = 1 %}{% endwith %}",
            "{% macro a() %}{% endmacro %}",
            "{% filter upper %}a{% endfilter %}",
            "{% include 'a' %}",
            "{% raw %}{{ ~ }}{% endraw %}",
            "{% for x in (1, 2) %}{% endfor %}",
            "{% for x in list|upper %}{% endfor %}",
            "{% for x in list if x %}{% endfor %}",
            "{%for(a,b)in list%}{%endfor%}",
            "{{ 'a' * 100000000 }}",
            "{{ 'a' ~ \"b\" }}",
            "{{ \"\\\"\" ~ 'b' }}",
            "{{ [1] }}",
            "{{ {'a': 1} }}",
        ] {
            let error = plain(source).unwrap_err();
            let said = error.contains("not available") || error.contains("`for NAME in NAME`");
            assert!(said, "{source}: {error}");
        }
    }

    #[test]
    fn what_takes_too_long_or_comes_out_too_long_is_refused() {
        let nested = "{% for a in list %}{% for b in list %}{% for c in list %}{% endfor %}\
                      {% endfor %}{% endfor %}";
        assert!(plain(nested).unwrap_err().contains("fuel"));
        let long = format!("{{% for a in list %}}{}{{% endfor %}}", "x".repeat(3_000));
        assert!(plain(&long).unwrap_err().contains("longer than 262144 bytes"));
    }
}
