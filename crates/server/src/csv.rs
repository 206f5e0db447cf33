//! Files of comma-separated values, read record by record in bounded memory.
//!
//! A record that is too long is stepped over, and the file goes on behind it. Each record knows
//! its line in the file as an editor counts, whatever line breaks and blank lines there are.

use bytes::Bytes;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

/// The type of an answer that is a table (RFC 4180).
pub const CSV: &str = "text/csv; charset=utf-8";
/// Longest record, in bytes of its values.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Most values of a record.
pub const VALUES_MAX: usize = 64;

/// What spreadsheets put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvRecord {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// Its values, at least one.
    pub values: Result<Vec<String>, Unreadable>,
}

/// Why a record has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Beyond [`RECORD_BYTES_MAX`] or [`VALUES_MAX`].
    #[error("is longer than {RECORD_BYTES_MAX} bytes, or has more than {VALUES_MAX} values")]
    TooLong,
    /// Some value is text of another encoding.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The file ends within quotes: what follows the opening quote cannot be told apart.
    #[error("opens a quote that is never closed")]
    OpenQuote,
}

/// The records of a file that are yet to be read.
pub struct CsvReader<R> {
    source: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    parser: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    line: usize,
}

impl<R: Read> CsvReader<R> {
    /// Reads from the start of a file, behind a byte order mark.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut start = Vec::new();
        source.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start)?;
        if start == BYTE_ORDER_MARK {
            start.clear();
        }
        Ok(Self {
            source: BufReader::new(Cursor::new(start).chain(source)),
            parser: csv_core::Reader::new(),
            text: vec![0; RECORD_BYTES_MAX],
            ends: vec![0; VALUES_MAX],
            line: 1,
        })
    }

    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_record(&mut self) -> io::Result<Option<CsvRecord>> {
        if !self.finds_record()? {
            return Ok(None);
        }
        let line = self.line;
        let (mut length, mut count, mut too_long) = (0, 0, false);
        loop {
            let source = self.source.fill_buf()?;
            let at_end = source.is_empty();
            // The last line may lack its break. Where a break ends nothing, a quote is open.
            let input = if at_end { b"\n" } else { source };
            let (text, ends) = (&mut self.text[length..], &mut self.ends[count..]);
            let (result, read, written, ended) = self.parser.read_record(input, text, ends);
            self.line += line_breaks(&input[..read]);
            self.source.consume(if at_end { 0 } else { read });
            (length, count) = (length + written, count + ended);
            match result {
                csv_core::ReadRecordResult::Record | csv_core::ReadRecordResult::End => break,
                csv_core::ReadRecordResult::InputEmpty if at_end => {
                    return Ok(Some(CsvRecord { line, values: Err(Unreadable::OpenQuote) }));
                }
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull
                | csv_core::ReadRecordResult::OutputEndsFull => {
                    (length, count, too_long) = (0, 0, true);
                }
            }
        }
        let values = if too_long { Err(Unreadable::TooLong) } else { self.values(count) };
        Ok(Some(CsvRecord { line, values }))
    }

    /// Steps over line breaks, so that the record's own line is known; tells whether there is one.
    fn finds_record(&mut self) -> io::Result<bool> {
        loop {
            let source = self.source.fill_buf()?;
            let breaks = source.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let (at_end, found) = (source.is_empty(), breaks < source.len());
            self.line += line_breaks(&source[..breaks]);
            self.source.consume(breaks);
            if at_end || found {
                return Ok(found);
            }
        }
    }

    fn values(&self, count: usize) -> Result<Vec<String>, Unreadable> {
        let mut start = 0;
        let values = self.ends[..count].iter().map(|&end| {
            let value = &self.text[start..end];
            start = end;
            std::str::from_utf8(value).map(str::to_owned)
        });
        values.collect::<Result<_, _>>().map_err(|_| Unreadable::NotUtf8)
    }
}

fn line_breaks(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

/// Lines of CSV that wait to be sent.
#[derive(Debug)]
pub struct Lines(::csv::Writer<Vec<u8>>);

impl Default for Lines {
    fn default() -> Self {
        let mut form = ::csv::WriterBuilder::new();
        Self(form.terminator(::csv::Terminator::CRLF).from_writer(Vec::new()))
    }
}

impl Lines {
    /// Adds a line, of as many cells as the first.
    ///
    /// # Panics
    /// When it has another number of cells: a mistake in the code.
    pub fn push(&mut self, cells: &[impl AsRef<[u8]>]) {
        self.0.write_record(cells).expect("memory takes lines of one length");
    }

    /// Takes what waits.
    ///
    /// # Panics
    /// Never: memory takes what is written.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        let lines = std::mem::take(self).0.into_inner();
        lines.expect("memory takes what is written").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives one byte at a time, as a slow pipe may.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let some = self.0.len().min(buffer.len()).min(1);
            self.0.read(&mut buffer[..some])
        }
    }

    fn all(source: impl Read) -> Vec<CsvRecord> {
        let mut reader = CsvReader::new(source).unwrap();
        std::iter::from_fn(|| reader.next_record().unwrap()).collect()
    }

    /// The records as `line:value|value`, however the file arrives.
    fn shown(file: impl AsRef<[u8]>) -> Vec<String> {
        let records = all(file.as_ref());
        assert_eq!(records, all(Trickle(file.as_ref())));
        let show = |record: &CsvRecord| match &record.values {
            Ok(values) => format!("{}:{}", record.line, values.join("|")),
            Err(why) => format!("{} {why}", record.line),
        };
        records.iter().map(show).collect()
    }

    #[test]
    fn records_know_the_line_that_an_editor_shows() {
        assert_eq!(shown("a,b\nc,d\n"), ["1:a|b", "2:c|d"]);
        assert_eq!(shown("a,b\r\nc,d\r\n\r\ne,f"), ["1:a|b", "2:c|d", "4:e|f"]);
        assert_eq!(shown("\n\na,b\n\n\nc,d\n\n"), ["3:a|b", "6:c|d"]);
        assert_eq!(shown("a,\"1\n2\r\n3\"\nc,d"), ["1:a|1\n2\r\n3", "4:c|d"]);
        assert_eq!(shown(""), [""; 0]);
        assert_eq!(shown("\r\n\n"), [""; 0]);
    }

    #[test]
    fn quotes_and_marks_are_no_part_of_values() {
        assert_eq!(shown("\"a\"\"b\",\"c,d\",\"\"\n,"), ["1:a\"b|c,d|", "2:|"]);
        assert_eq!(shown("\u{feff}\"a\",b\nc,d"), ["1:a|b", "2:c|d"]);
        assert_eq!(shown("\u{feff}"), [""; 0]);
        assert_eq!(shown("a"), ["1:a"]);
    }

    #[test]
    fn what_cannot_be_read_fails_alone() {
        assert_eq!(shown(b"a,\xff\nb,c\n"), ["1 is not UTF-8", "2:b|c"]);
        // Two halves of a character are no text, though they would be when joined.
        assert_eq!(shown(b"\xc3,\xa9\nb,c\n"), ["1 is not UTF-8", "2:b|c"]);
        assert_eq!(shown("a,b\nc,\"d\ne,f\n"), ["1:a|b", "2 opens a quote that is never closed"]);
        assert_eq!(shown("a,\""), ["1 opens a quote that is never closed"]);
    }

    #[test]
    fn a_record_beyond_the_limits_is_stepped_over() {
        let too_long = |line| format!("{line} {}", Unreadable::TooLong);
        let longest = "x".repeat(RECORD_BYTES_MAX - 1);
        assert_eq!(shown(format!("{longest}\nb\n")), [format!("1:{longest}"), "2:b".to_owned()]);
        for length in [1, 2, 1000, 3 * RECORD_BYTES_MAX] {
            let file = format!("a\n\"{longest}{}\n\"\nb,c", "x".repeat(length));
            assert_eq!(shown(file), ["1:a".to_owned(), too_long(2), "4:b|c".to_owned()]);
        }
        for count in [VALUES_MAX, VALUES_MAX + 1, 3 * VALUES_MAX + 1] {
            assert_eq!(shown(format!("{}\nb", ",".repeat(count)))[1..], ["2:b"]);
        }
        assert_eq!(shown(",".repeat(VALUES_MAX)), [too_long(1)]);
        assert_eq!(shown(",".repeat(VALUES_MAX - 2)).len(), 1);
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_takes_no_memory() {
        let endless = io::repeat(b'x').take(100 << 20).chain(&b"\nb,c"[..]);
        let records = all(endless);
        assert_eq!(records[0], CsvRecord { line: 1, values: Err(Unreadable::TooLong) });
        assert_eq!(records[1].line, 2);
    }
}
