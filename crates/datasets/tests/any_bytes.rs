//! Whatever is in a file, a reader gives records and problems, ends, and loses no line.

mod support;

use proptest::prelude::*;
use support::{Read, file};
use tempfile::tempdir;
use zhiyin_datasets::{Format, Source, open};

fn headers(format: Format) -> &'static str {
    match format {
        Format::OnlineRetail => "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n",
        Format::Sessions => "SessionId\tItemId\tTime\n",
        Format::Csv => "type,user,item,time,value\n",
        _ => "",
    }
}

/// Lines of fragments that mean something to one format or the other, and of bytes that mean nothing.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let fragments = prop::sample::select(vec![
        "1",
        "A1",
        "view",
        ",",
        "\t",
        "::",
        "|",
        "\"",
        "\n",
        "\n",
        " ",
        "\r\n",
        "2024-05-01 10:00:00",
        "978300760",
        "-3",
        "{",
        "}",
        "{\"type\":\"view\"}",
        "C500",
        "POST",
        "{\"item\":{\"id\":\"A\"}}",
        "é",
        "1,10001A,T,1,2011-01-05 10:00:00,1,2,France",
        "1\t2\t3\t4",
    ]);
    let pieces = prop_oneof![
        8 => fragments.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

fn filled_lines(content: &[u8]) -> usize {
    content.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_reader_ends_and_reads_the_same_twice(content in content()) {
        let dir = tempdir().unwrap();
        for format in Format::ALL {
            let content = [headers(format).as_bytes(), &content].concat();
            let source = Source::new(format, file(&dir, "data", content));
            if let (Ok(first), Ok(second)) = (open(&source), open(&source)) {
                prop_assert!(first.eq(second), "{format} reads differently the second time");
            }
        }
    }

    #[test]
    fn every_line_is_a_record_or_a_problem(content in content()) {
        let dir = tempdir().unwrap();
        for format in [Format::Jsonl, Format::Sessions, Format::Movielens1m] {
            let whole = [headers(format).as_bytes(), &content].concat();
            if whole.starts_with(&[0x1f, 0x8b]) || whole.to_ascii_lowercase().starts_with(b"user") {
                continue;
            }
            let Ok(reader) = open(&Source::new(format, file(&dir, "data", &whole))) else { continue };
            let read = Read::from_reader(reader);
            let given = read.events.len() + read.items.len() + read.users.len() + read.problems.len();
            let headers = headers(format).lines().count();
            let marks = usize::from(whole.starts_with(b"\xef\xbb\xbf") && whole.trim_ascii().len() == 3);
            prop_assert_eq!(given, filled_lines(&whole) - headers - marks, "{}", format);
        }
    }
}
