//! The text of each type, and the number of its `sqlType`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// What a message shows of one value: its text and the number of its type.
fn show_with(settings: &FlatSettings, kind: ColumnType, raw: Option<Vec<u8>>) -> (String, String) {
    show_column(settings, column("c", "type", kind), raw)
}

fn show_column(settings: &FlatSettings, column: Column, raw: Option<Vec<u8>>) -> (String, String) {
    let table = table(vec![column], Vec::new());
    let text = message(&event(&table, RowsKind::Insert, &[image(&[raw])]), Rows::All, settings);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let shown = value["data"][0]["c"].as_str().unwrap_or("NULL").to_owned();
    (shown, value["sqlType"]["c"].to_string())
}

fn show(kind: ColumnType, raw: &[u8]) -> (String, i16) {
    let (text, number) = show_with(&settings(), kind, Some(raw.to_vec()));
    (text, number.parse().unwrap())
}

/// Bytes with a length of one byte before them.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn shows(kind: ColumnType, raw: &[u8], text: &str, number: i16) {
    assert_eq!(show(kind, raw), (text.to_owned(), number), "{kind:?} {raw:?}");
}

#[test]
fn integers_are_decimal_and_unsigned_ones_raise_their_type() {
    shows(ColumnType::Tiny { unsigned: false }, &[0x80], "-128", -6);
    shows(ColumnType::Short { unsigned: false }, &[0, 0x80], "-32768", 5);
    shows(ColumnType::Int24 { unsigned: false }, &[0, 0, 0x80], "-8388608", 4);
    shows(INT, &[0, 0, 0, 0x80], "-2147483648", 4);
    shows(
        ColumnType::LongLong { unsigned: false },
        &[0, 0, 0, 0, 0, 0, 0, 0x80],
        "-9223372036854775808",
        -5,
    );
    shows(ColumnType::Tiny { unsigned: true }, &[0x7f], "127", -6);
    shows(ColumnType::Tiny { unsigned: true }, &[0xff], "255", 5);
    shows(ColumnType::Short { unsigned: true }, &[0xff; 2], "65535", 4);
    shows(ColumnType::Int24 { unsigned: true }, &[0xff; 3], "16777215", 4);
    shows(ColumnType::Long { unsigned: true }, &[0xff; 4], "4294967295", -5);
    shows(ColumnType::LongLong { unsigned: true }, &[0xff; 8], "18446744073709551615", 3);
    shows(ColumnType::LongLong { unsigned: true }, &[1, 0, 0, 0, 0, 0, 0, 0], "1", -5);
}

#[test]
fn zerofill_is_not_applied() {
    // the width is in the type's text only
    let column = column("c", "int(10) unsigned zerofill", ColumnType::Long { unsigned: true });
    let shown = show_column(&settings(), column, int(42));
    assert_eq!(shown, ("42".to_owned(), "4".to_owned()));
}

#[test]
fn floats_have_javas_spelling_and_the_shortest_digits() {
    shows(ColumnType::Float, &1.1f32.to_le_bytes(), "1.1", 7);
    shows(ColumnType::Float, &f32::MAX.to_le_bytes(), "3.4028235E38", 7);
    // Canal on Java 17: 1.9999999999999998E23
    shows(ColumnType::Double, &2e23f64.to_le_bytes(), "2.0E23", 8);
    shows(ColumnType::Double, &1e10f64.to_le_bytes(), "1.0E10", 8);
    shows(ColumnType::Double, &(-0.0f64).to_le_bytes(), "-0.0", 8);
}

#[test]
fn decimals_have_their_full_scale() {
    // Canal drops a last group of zeros: `1.0`
    let kind = ColumnType::Decimal { precision: 10, scale: 2 };
    shows(kind, &[0x80, 0, 0, 1, 0], "1.00", 3);
    shows(kind, &[0x7f, 0xff, 0xff, 0xf3, 0xcd], "-12.50", 3);
}

#[test]
fn bits_and_years_are_decimal() {
    shows(ColumnType::Bit { bits: 1 }, &[1], "1", -7);
    shows(ColumnType::Bit { bits: 64 }, &[0xff; 8], "18446744073709551615", -7);
    shows(ColumnType::Year, &[124], "2024", 12);
    shows(ColumnType::Year, &[0], "0000", 12);
}

#[test]
fn dates_and_times_are_the_servers_text() {
    shows(ColumnType::Date, &[0, 0, 0], "0000-00-00", 91);
    let day = 2024u32 * 512 + 2 * 32 + 29;
    shows(ColumnType::Date, &day.to_le_bytes()[..3], "2024-02-29", 91);
    let midnight = 0x80_0000_0000u64 | ((2024 * 13 + 5) << 5 | 1) << 17;
    shows(ColumnType::DateTime { fsp: 0 }, &midnight.to_be_bytes()[3..], "2024-05-01 00:00:00", 93);
    shows(ColumnType::Time { fsp: 0 }, &[0x80, 0, 1], "00:00:01", 92);
}

#[test]
fn a_hundred_hours_of_an_old_time_are_a_hundred() {
    // Canal: `00`
    shows(ColumnType::OldTime, &1_000_000u32.to_le_bytes()[..3], "100:00:00", 92);
}

#[test]
fn timestamps_are_written_in_the_zone() {
    let kind = ColumnType::Timestamp { fsp: 3 };
    let raw = [&1_719_792_000u32.to_be_bytes()[..], &[0x04, 0xce]].concat();
    for (zone, text) in [
        ("+00:00", "2024-07-01 00:00:00.123"),
        ("+08:00", "2024-07-01 08:00:00.123"),
        ("-03:30", "2024-06-30 20:30:00.123"),
        ("Europe/Berlin", "2024-07-01 02:00:00.123"),
    ] {
        let settings = FlatSettings { zone: Zone::parse(zone).unwrap(), ..settings() };
        let shown = show_with(&settings, kind, Some(raw.clone()));
        assert_eq!(shown, (text.to_owned(), "93".to_owned()));
        let zero = show_with(&settings, ColumnType::Timestamp { fsp: 0 }, Some(vec![0; 4]));
        assert_eq!(zero.0, "0000-00-00 00:00:00");
    }
}

#[test]
fn text_is_read_in_the_character_set_of_its_column() {
    let kind = |charset| ColumnType::VarChar { max_bytes: 20, charset };
    shows(kind(Charset::Latin1), &sized(b"caf\xe9\x80"), "café€", 12);
    shows(kind(Charset::Gbk), &sized(b"\xd6\xd0\xce\xc4"), "中文", 12);
    shows(kind(Charset::Utf16), &sized(b"\0a\x4e\x2d"), "a中", 12);
    shows(kind(Charset::Utf8Mb4), &sized("😀".as_bytes()), "😀", 12);
    shows(kind(Charset::Utf8Mb4), &sized(b"a\xffb"), "a\u{fffd}b", 12);
    let char = ColumnType::Char { max_bytes: 20, charset: Charset::Utf8Mb4 };
    shows(char, &sized(b"x"), "x", 1);
    let text = ColumnType::Text { length_bytes: 1, charset: Charset::Utf8Mb4 };
    shows(text, &sized(b"x"), "x", 2005);
}

#[test]
fn bytes_are_code_points_or_as_asked() {
    let binary = |form| FlatSettings { binary: form, ..settings() };
    let raw = Some(sized(b"\0\"\xff"));
    let kind = ColumnType::Blob { length_bytes: 1 };
    let all = [
        (BinaryForm::Latin1, "\0\"\u{ff}"),
        (BinaryForm::Base64, "ACL/"),
        (BinaryForm::Hex, "0022ff"),
    ];
    for (form, text) in all {
        let shown = show_with(&binary(form), kind, raw.clone());
        assert_eq!(shown, (text.to_owned(), "2004".to_owned()));
    }
    shows(ColumnType::VarBinary { max_bytes: 9 }, &sized(b"\x80a"), "\u{80}a", 2004);
    shows(ColumnType::Geometry { length_bytes: 1 }, &sized(b"\x01"), "\u{1}", 2004);
}

#[test]
fn a_binary_has_its_trailing_zeros_in_every_form() {
    // the binlog strips them, and Canal leaves them out
    for stored in 0..=8usize {
        let bytes = vec![0xab; stored];
        let mut whole = bytes.clone();
        whole.resize(8, 0);
        let shown = |form| {
            let settings = FlatSettings { binary: form, ..settings() };
            show_with(&settings, ColumnType::Binary { length: 8 }, Some(sized(&bytes))).0
        };
        let code_points: String = whole.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(shown(BinaryForm::Latin1), code_points);
        let hex = "ab".repeat(stored) + &"00".repeat(8 - stored);
        assert_eq!(shown(BinaryForm::Hex), hex);
        let base64 = STANDARD.encode(&whole);
        assert_eq!(shown(BinaryForm::Base64), base64);
    }
}

#[test]
fn enums_and_sets_are_numbers_or_labels_if_asked() {
    let labelled = FlatSettings { labels: EnumForm::Label, ..settings() };
    let with = |settings: &FlatSettings, kind, labels: &[&str], raw: &[u8]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        show_column(settings, Column { labels, ..column("c", "type", kind) }, Some(raw.to_vec()))
    };
    let (kind, labels) = (ColumnType::Enum { bytes: 1 }, ["a", "x\"y"]);
    let text = |text: &str, number: &str| (text.to_owned(), number.to_owned());
    assert_eq!(with(&settings(), kind, &labels, &[2]), text("2", "4"));
    assert_eq!(with(&settings(), kind, &labels, &[0]), text("0", "4"));
    assert_eq!(with(&labelled, kind, &labels, &[2]), text("x\"y", "12"));
    assert_eq!(with(&labelled, kind, &labels, &[0]), text("", "12"));
    assert_eq!(with(&labelled, kind, &labels, &[3]), text("3", "12"));
    let kind = ColumnType::Set { bytes: 1 };
    let labels = ["r", "w", "x"];
    assert_eq!(with(&settings(), kind, &labels, &[5]), text("5", "-7"));
    assert_eq!(with(&labelled, kind, &labels, &[5]), text("r,x", "12"));
    assert_eq!(with(&labelled, kind, &labels, &[0]), text("", "12"));
    assert_eq!(with(&labelled, kind, &labels, &[9]), text("9", "12"));
    assert_eq!(with(&labelled, kind, &[], &[1]), text("1", "12"));
}

#[test]
fn null_is_null_and_has_the_type_that_canal_gives_it() {
    let null = |kind| show_with(&settings(), kind, None);
    let text = |number: &str| ("NULL".to_owned(), number.to_owned());
    assert_eq!(null(INT), text("4"));
    assert_eq!(null(ColumnType::LongLong { unsigned: true }), text("-5"));
    assert_eq!(null(ColumnType::Json { length_bytes: 4 }), text("1111"));
    assert_eq!(null(ColumnType::Set { bytes: 1 }), text("2004"));
}

fn json(document: &[u8]) -> String {
    show(ColumnType::Json { length_bytes: 1 }, &sized(document)).0
}

#[test]
fn json_is_spaced_as_the_server_does_with_javas_doubles() {
    // {"a": 1e10, "b": [1, 2]} as a small object with an inner small array
    let mut document = vec![0, 2, 0, 46, 0, 18, 0, 1, 0, 19, 0, 1, 0, 11, 20, 0, 2, 28, 0];
    document.extend_from_slice(b"ab");
    document.extend_from_slice(&1e10f64.to_le_bytes());
    document.extend_from_slice(&[2, 0, 10, 0, 5, 1, 0, 5, 2, 0]);
    document.resize(47, 0);
    assert_eq!(json(&document), r#"{"a": 1.0E10, "b": [1, 2]}"#);
    let number = show(ColumnType::Json { length_bytes: 1 }, &sized(&[5, 1, 0]));
    assert_eq!(number, ("1".to_owned(), 12));
}

#[test]
fn json_strings_are_whole_and_escaped_as_canal_does() {
    let string = |text: &str| json(&[&[12], sized(text.as_bytes()).as_slice()].concat());
    // golden/canal types, line 64, ids 27 and 28
    assert_eq!(
        string("quo\"te \\ / \u{8} \u{c} \n \r \t"),
        r#""quo\"te \\ / \u0008 \u000c \n \r \t""#
    );
    assert_eq!(string("\u{1}\u{1f}\u{7f}"), r#""\u0001\u001f\u007f""#);
    assert_eq!(string("\u{80}\u{a0}¡日本 é 😀"), r#""\u0080\u00a0¡日本 é 😀""#);
    // Canal cuts the string here
    assert_eq!(string("a\0b"), r#""a\u0000b""#);
}

#[test]
fn a_json_value_without_bytes_is_null_as_a_document() {
    assert_eq!(json(&[]), "null");
}

#[test]
fn vectors_have_the_shortest_digits_that_the_server_reads_back() {
    let floats = [1.05f32, -17.8, 32.0, 1e-10, 3e38, -0.0, 0.1 + 0.2, 1e-39, -1e-45];
    shows(
        ColumnType::Vector { length_bytes: 1 },
        &sized(&floats.map(f32::to_le_bytes).concat()),
        "[1.05,-17.8,32.0,1.0E-10,3.0E38,-0.0,0.3,\
         1.000000215305333257420875600145683109268745648009686691104366097022568271590614\
         58587530069053173065185546875E-39,-1.4012984643248170709237295832899161312802619\
         4187651577175706828388979108268586060148663818836212158203125E-45]",
        12,
    );
}

#[test]
fn a_back_quote_in_a_column_name_is_one() {
    let table = table(vec![column("q`t", "int", INT)], Vec::new());
    let change = event(&table, RowsKind::Insert, &[image(&[int(1)])]);
    assert_eq!(member(&message(&change, Rows::All, &settings()), "data"), r#"[{"q`t":"1"}]"#);
}
