//! The codec against `kafka-protocol`'s as a second opinion, and against broken bytes.

use std::borrow::Cow;
use std::io::Read as _;

use kafka_protocol::records::{Record as TheirRecord, RecordBatchDecoder};
use proptest::prelude::*;

use super::*;

type Header = (String, Vec<u8>);
type Row = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

const NOW: i64 = 1_714_550_400_123;

fn build(rows: &[Row]) -> Batch {
    let mut builder = BatchBuilder::default();
    for (key, value, headers) in rows {
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        builder.push(key.as_deref(), value.as_deref(), &headers);
    }
    let mut batch = builder.finish();
    batch.seal(NOW);
    batch
}

fn read(view: &BatchView<'_>) -> Vec<Row> {
    view.records()
        .map(|record| {
            let record = record.unwrap();
            let headers = record.headers.map(|(name, value)| {
                (String::from_utf8(name.to_vec()).unwrap(), value.unwrap().to_vec())
            });
            (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), headers.collect())
        })
        .collect()
}

fn read_by_kafka_protocol(bytes: &[u8]) -> Vec<TheirRecord> {
    RecordBatchDecoder::decode(&mut bytes::Bytes::copy_from_slice(bytes)).unwrap().records
}

fn rows_of_sizes(sizes: &[usize]) -> Vec<Row> {
    sizes.iter().map(|size| (None, Some(vec![b'x'; *size]), Vec::new())).collect()
}

#[test]
fn values_at_the_edges_of_the_length_widths_come_back_whole() {
    // 63/64, 8191/8192 and 2^20 are where one more byte of length is needed; going up and
    // down makes every guess fail once in each direction
    let sizes = [0, 63, 64, 54, 55, 56, 8191, 8192, 0, 8182, 8183, 1 << 20, (1 << 20) - 1, 1, 300];
    let rows = rows_of_sizes(&sizes);
    let batch = build(&rows);
    let view = BatchView::parse(batch.as_bytes()).unwrap();
    assert_eq!(read(&view), rows);
    let theirs = read_by_kafka_protocol(batch.as_bytes());
    let lengths: Vec<usize> = theirs.iter().map(|r| r.value.as_ref().unwrap().len()).collect();
    assert_eq!(lengths, sizes);
}

#[test]
fn lengths_are_as_short_as_any_other_producers() {
    let rows = rows_of_sizes(&[10, 9000, 10, 70]);
    let ours = build(&rows);
    // length, attributes, deltas (1 byte each), key -1, value length, headers 0
    let expected = [(1, 1, 10), (2, 3, 9000), (1, 1, 10), (2, 2, 70)];
    let size: usize = expected.iter().map(|(record, value, size)| record + 5 + value + size).sum();
    // 9000 needs three bytes itself, and so does its record
    assert_eq!(ours.len(), HEAD_LENGTH + size + 1);
}

#[test]
fn a_head_says_what_kafka_expects_of_a_plain_producer() {
    let mut batch = build(&[(Some(b"k".to_vec()), None, vec![("h".into(), b"v".to_vec())])]);
    batch.set_base_offset(77);
    batch.set_leader_epoch(5);
    let theirs = &read_by_kafka_protocol(batch.as_bytes())[0];
    assert_eq!((theirs.offset, theirs.timestamp), (77, NOW));
    assert_eq!((theirs.producer_id, theirs.producer_epoch, theirs.sequence), (-1, -1, -1));
    assert_eq!(theirs.partition_leader_epoch, 5);
    assert!(!theirs.transactional && !theirs.control);
    assert_eq!(theirs.key.as_deref(), Some(b"k".as_slice()));
    assert_eq!(theirs.value, None);
    let header = theirs.headers.iter().next().unwrap();
    assert_eq!((header.0.as_str(), header.1.as_deref()), ("h", Some(b"v".as_slice())));
}

#[test]
fn offset_and_epoch_are_outside_the_checksum() {
    let mut bytes = build(&rows_of_sizes(&[3])).into_bytes().to_vec();
    set_base_offset(&mut bytes, i64::MAX - 1);
    set_leader_epoch(&mut bytes, 9);
    let view = BatchView::parse(&bytes).unwrap();
    assert_eq!((view.head().base_offset, view.head().leader_epoch), (i64::MAX - 1, 9));
}

#[test]
fn a_record_stays_open_until_its_headers_are_given() {
    let mut builder = BatchBuilder::default();
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"value");
        Ok::<_, ()>(())
    };
    assert_eq!(builder.open(Some(b"key"), write), Ok(5));
    assert!(builder.has_open());
    assert_eq!(builder.count(), 1);
    let open = OpenRecord { key: Some(b"key"), value: Some(b"value") };
    assert_eq!(builder.open_record(), Some(open));
    builder.close(&[("tx", b"0/end")]);
    assert!(!builder.has_open());
    let mut batch = builder.finish();
    batch.seal(NOW);
    let row =
        (Some(b"key".to_vec()), Some(b"value".to_vec()), vec![("tx".into(), b"0/end".to_vec())]);
    assert_eq!(read(&BatchView::parse(batch.as_bytes()).unwrap()), [row]);
}

#[test]
fn a_value_that_fails_or_is_taken_back_leaves_no_trace() {
    let mut builder = BatchBuilder::default();
    builder.push(None, Some(b"first"), &[]);
    let before = builder.len();
    let failed = builder.open(None, |out| {
        out.extend_from_slice(&[7; 10_000]);
        Err("no")
    });
    assert_eq!(failed, Err("no"));
    assert_eq!((builder.len(), builder.count()), (before, 1));
    let write = |out: &mut Vec<u8>| {
        out.push(1);
        Ok::<_, ()>(())
    };
    builder.open(None, write).unwrap();
    builder.discard();
    assert_eq!((builder.len(), builder.count()), (before, 1));
}

#[test]
fn a_flipped_bit_a_cut_and_a_tail_are_told_apart() {
    let bytes = build(&rows_of_sizes(&[20])).into_bytes().to_vec();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(BatchView::parse(&flipped), Err(Error::Crc { .. })));
    let cut = &bytes[..bytes.len() - 1];
    let expected = Error::Cut { needed: bytes.len(), found: bytes.len() - 1 };
    assert_eq!(BatchView::parse(cut).unwrap_err(), expected);
    let tail = [bytes.as_slice(), &[0]].concat();
    assert_eq!(BatchView::parse(&tail).unwrap_err(), Error::Trailing(1));
    let mut old = bytes.clone();
    old[16] = 1;
    assert_eq!(BatchView::parse(&old).unwrap_err(), Error::Magic(1));
    let mut short = bytes;
    short[8..12].copy_from_slice(&48i32.to_be_bytes());
    assert_eq!(BatchView::parse(&short).unwrap_err(), Error::Length(48));
}

/// Puts `field` at `place` and makes the CRC right again.
fn patched(bytes: &[u8], place: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place..place + field.len()].copy_from_slice(field);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_count_that_does_not_fit_its_offsets_is_refused() {
    let bytes = build(&rows_of_sizes(&[1, 2])).into_bytes();
    for (count, last) in [(3, 1), (0, 1), (-1, -2), (2, i32::MAX), (1, -1)] {
        let wrong =
            patched(&patched(&bytes, 57, &i32::to_be_bytes(count)), 23, &i32::to_be_bytes(last));
        assert!(matches!(BatchView::parse(&wrong), Err(Error::Count { .. })), "{count} {last}");
    }
    // what compaction leaves: two records over offsets 0..=9
    let compacted = patched(&bytes, 23, &9i32.to_be_bytes());
    assert!(BatchView::parse(&compacted).is_err());
    assert_eq!(BatchView::parse_stored(&compacted).unwrap().records().count(), 2);
}

#[test]
fn compressed_records_are_refused_not_misread() {
    let bytes = patched(&build(&rows_of_sizes(&[1])).into_bytes(), 21, &4i16.to_be_bytes());
    let view = BatchView::parse(&bytes).unwrap();
    assert_eq!(view.records().next().unwrap().unwrap_err(), Error::Compressed(Compression::Zstd));
    assert_eq!(view.records().count(), 1);
}

#[test]
fn compaction_keeps_offsets_and_drops_records() {
    let rows: Vec<Row> =
        (0..5u8).map(|n| (Some(vec![n]), Some(vec![n; 100]), Vec::new())).collect();
    let mut batch = build(&rows);
    batch.set_base_offset(40);
    let view = BatchView::parse(batch.as_bytes()).unwrap();
    let rewritten = view.rewrite(|record| record.offset % 2 == 1, 0).unwrap();
    let Rewritten::Part(kept) = rewritten else { panic!("{rewritten:?}") };
    let left = BatchView::parse_stored(&kept).unwrap();
    let offsets: Vec<i64> = left.records().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [41, 43]);
    assert_eq!((left.head().base_offset, left.head().last_offset()), (40, 44));
    assert_eq!(read_by_kafka_protocol(&kept).iter().map(|r| r.offset).collect::<Vec<_>>(), offsets);
    assert_eq!(view.rewrite(|_| false, 0).unwrap(), Rewritten::Nothing);
    assert_eq!(view.rewrite(|_| true, 0).unwrap(), Rewritten::Whole);
}

#[test]
fn a_tombstone_gets_a_horizon_once_and_no_time_changes() {
    let rows: Vec<Row> = (0..4u8)
        .map(|n| (Some(vec![n]), (n % 2 == 0).then(|| vec![n; 100]), vec![("h".into(), vec![n])]))
        .collect();
    let mut batch = build(&rows);
    batch.seal(1_000);
    let view = BatchView::parse(batch.as_bytes()).unwrap();
    assert_eq!(view.head().delete_horizon(), None);
    let Rewritten::Part(marked) = view.rewrite(|_| true, 9_000).unwrap() else { panic!() };
    let marked = BatchView::parse_stored(&marked).unwrap();
    assert_eq!(marked.head().delete_horizon(), Some(9_000));
    assert_eq!(read(&marked), rows);
    assert!(marked.records().all(|record| record.unwrap().timestamp == 1_000));
    let theirs = read_by_kafka_protocol(marked.as_bytes());
    assert!(theirs.iter().all(|record| record.timestamp == 1_000));
    assert_eq!(marked.rewrite(|_| true, 20_000).unwrap(), Rewritten::Whole, "it has one");
}

#[test]
fn what_producers_compress_is_rewritten_with_the_same_compression() {
    for (compression, bytes) in COMPRESSED {
        let packed = BatchView::parse(bytes).unwrap();
        let keep = |record: &RecordView<'_>| record.offset % 2 == 1;
        let Rewritten::Part(part) = packed.rewrite(keep, 0).unwrap() else { panic!() };
        let part = BatchView::parse_stored(&part).unwrap();
        assert_eq!(part.head().compression(), compression);
        let plain = packed.uncompressed().unwrap();
        let rows = |plain: &[u8], all: bool| {
            let records = BatchView::parse_stored(plain).unwrap().records();
            let records = records.map(Result::unwrap).filter(|one| all || keep(one));
            let row = |one: RecordView<'_>| {
                (
                    one.offset,
                    one.timestamp,
                    one.key.map(<[u8]>::to_vec),
                    one.value.map(<[u8]>::to_vec),
                )
            };
            records.map(row).collect::<Vec<_>>()
        };
        let left = part.uncompressed().unwrap();
        assert_eq!(rows(&left, true), rows(&plain, false), "{compression:?}");
        assert!(!rows(&left, true).is_empty());
        let theirs = read_by_kafka_protocol(&left);
        let theirs: Vec<i64> = theirs.iter().map(|record| record.offset).collect();
        assert_eq!(theirs, rows(&left, true).iter().map(|one| one.0).collect::<Vec<_>>());
        assert_eq!(packed.rewrite(|_| true, 0).unwrap(), Rewritten::Whole);
    }
}

#[test]
fn batches_back_to_back_are_walked_to_the_first_broken_one() {
    let mut bytes = build(&rows_of_sizes(&[1])).into_bytes().to_vec();
    bytes.extend_from_slice(build(&rows_of_sizes(&[2, 3])).as_bytes());
    let whole: Vec<i32> = batches(&bytes).map(|batch| batch.unwrap().head().count).collect();
    assert_eq!(whole, [1, 2]);
    let walked: Vec<bool> = batches(&bytes[..bytes.len() - 1]).map(|batch| batch.is_ok()).collect();
    assert_eq!(walked, [true, false]);
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let header = ("[a-z]{0,4}", bytes());
    let row = (prop::option::of(bytes()), prop::option::of(bytes()));
    let row = (row, prop::collection::vec(header, 0..4)).prop_map(|((k, v), h)| (k, v, h));
    prop::collection::vec(row, 1..40)
}

proptest! {
    #[test]
    fn what_is_built_is_what_is_read(rows in any_rows()) {
        let batch = build(&rows);
        let view = BatchView::parse(batch.as_bytes()).unwrap();
        prop_assert_eq!(read(&view), rows.clone());
        let offsets: Vec<i64> = batch.records().map(|r| r.unwrap().offset).collect();
        prop_assert_eq!(offsets, (0..).take(rows.len()).collect::<Vec<i64>>());
        let theirs = read_by_kafka_protocol(batch.as_bytes());
        prop_assert_eq!(theirs.len(), rows.len());
        for (their, (key, value, _)) in theirs.iter().zip(&rows) {
            prop_assert_eq!(their.key.as_deref(), key.as_deref());
            prop_assert_eq!(their.value.as_deref(), value.as_deref());
        }
    }

    #[test]
    fn arbitrary_records_under_a_right_head_never_panic(
        records in prop::collection::vec(any::<u8>(), 0..300),
        count in 1..1000i32,
    ) {
        let mut bytes = vec![0; HEAD_LENGTH];
        bytes.extend_from_slice(&records);
        let head = Head::unsealed(bytes.len(), count);
        bytes[..HEAD_LENGTH].copy_from_slice(&head.to_bytes());
        let bytes = patched(&bytes, 21, &[0, 0]);
        let view = BatchView::parse(&bytes).unwrap();
        for record in view.records().flatten() {
            prop_assert!(record.headers.count() <= records.len());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for batch in batches(&bytes) {
            let _ = batch.map(|view| view.records().count());
        }
    }
}

/// What producers have compressed: 50 records each, in one batch.
const COMPRESSED: [(Compression, &[u8]); 6] = [
    (Compression::Gzip, include_bytes!("../../tests/golden/record/java-4.3-gzip.batch")),
    (Compression::Snappy, include_bytes!("../../tests/golden/record/java-4.3-snappy.batch")),
    (Compression::Snappy, include_bytes!("../../tests/golden/record/librdkafka-snappy.batch")),
    (Compression::Lz4, include_bytes!("../../tests/golden/record/java-4.3-lz4.batch")),
    (Compression::Lz4, include_bytes!("../../tests/golden/record/librdkafka-lz4.batch")),
    (Compression::Zstd, include_bytes!("../../tests/golden/record/java-4.3-zstd.batch")),
];

#[test]
fn what_producers_compress_is_inflated_at_the_same_offsets_and_times() {
    let expected: Vec<_> = (1..=50).map(|n| format!("value number {n}").into_bytes()).collect();
    for (compression, bytes) in COMPRESSED {
        let packed = BatchView::parse(bytes).unwrap();
        assert_eq!(packed.head().compression(), compression);
        let plain = packed.uncompressed().unwrap();
        let plain = BatchView::parse(&plain).unwrap();
        let records: Vec<_> = plain.records().map(Result::unwrap).collect();
        let values: Vec<_> = records.iter().map(|record| record.value.unwrap()).collect();
        assert_eq!(values, expected, "{compression:?}");
        assert_eq!(plain.head().compression(), Compression::None);
        assert_eq!(records[0].offset, packed.head().base_offset);
        assert_eq!(records[49].offset, packed.head().last_offset());
        let latest = records.iter().map(|record| record.timestamp).max().unwrap();
        assert_eq!(latest, packed.head().max_timestamp, "{compression:?}");
    }
}

#[test]
fn cut_or_changed_compressed_bytes_are_errors_and_never_panics() {
    for (compression, bytes) in COMPRESSED {
        for end in HEAD_LENGTH..bytes.len() {
            let head = i32::try_from(end - 12).unwrap().to_be_bytes();
            let cut = patched(&bytes[..end], 8, &head);
            let plain = BatchView::parse(&cut).unwrap().uncompressed().map(Cow::into_owned);
            let whole = plain.is_ok_and(|plain| {
                BatchView::parse(&plain).unwrap().records().flatten().count() == 50
            });
            // LZ4 and xerial streams may lack their end mark
            assert!(!whole || bytes.len() - end <= 8, "{compression:?} cut at {end}");
        }
        for place in HEAD_LENGTH..bytes.len() {
            let changed = patched(bytes, place, &[bytes[place] ^ 0xff]);
            let _ = BatchView::parse(&changed).unwrap().uncompressed();
        }
    }
}

/// Looked for in the stream, a record is the one that is found among all of them.
#[test]
fn a_time_is_found_in_the_stream_as_among_all_records() {
    let plain = build(&rows_of_sizes(&[10, 0, 20_000, 1 << 20, 3]));
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut batches = vec![compressed(plain.as_bytes(), compression).to_vec()];
        let golden = COMPRESSED.iter().filter(|(one, _)| *one == compression);
        batches.extend(golden.map(|(_, bytes)| bytes.to_vec()));
        for bytes in batches {
            let batch = BatchView::parse(&bytes).unwrap();
            let plain = batch.uncompressed().unwrap();
            let records = BatchView::parse(&plain).unwrap().records().map(Result::unwrap);
            let places: Vec<_> = records.map(|one| (one.offset, one.timestamp)).collect();
            let times = places.iter().flat_map(|(_, time)| [time - 1, *time, time + 1]);
            for time in times.chain([i64::MIN, 0, i64::MAX]) {
                for start in [0, 1, batch.head().last_offset(), batch.head().last_offset() + 1] {
                    let wanted = |(offset, at): &&(i64, i64)| *at >= time && *offset >= start;
                    let expected = places.iter().find(wanted).copied();
                    let found = batch.first_since(start, time).unwrap();
                    assert_eq!(found, expected, "{compression:?} {start} {time}");
                }
            }
            let size = plain.len() - HEAD_LENGTH;
            if compression != Compression::None {
                assert_eq!(batch.uncompressed_within(size).unwrap(), plain);
                let most = size - 1;
                assert_eq!(batch.uncompressed_within(most), Err(Error::Inflated { most }));
            }
        }
    }
}

#[test]
fn records_that_inflate_without_end_are_refused() {
    let zeros = zstd::encode_all(std::io::repeat(0).take(65 * 1024 * 1024), 1).unwrap();
    let block = [&[0x80, 0x80, 0x80, 0x80, 0x04][..], &[0; 16]].concat(); // claims 1 GiB
    for (codec, packed) in [(4_i16, zeros), (2, block)] {
        let head = BatchView::parse(COMPRESSED[0].1).unwrap().head().to_bytes();
        let mut bytes = [&head[..], &packed].concat();
        let length = i32::try_from(bytes.len() - 12).unwrap().to_be_bytes();
        bytes = patched(&patched(&bytes, 8, &length), 21, &codec.to_be_bytes());
        let refused = BatchView::parse(&bytes).unwrap().uncompressed().unwrap_err();
        assert!(refused.to_string().contains("more than"), "{refused}");
    }
}

#[test]
fn a_value_with_all_the_room_there_is_makes_the_largest_batch_within_the_limit() {
    let headers: [(&str, &[u8]); 2] = [("binlog", b"binlog.000001:4"), ("tx", b"0/end")];
    let lengths = headers.map(|(name, value)| (name.len(), value.len()));
    let size = |value: usize| {
        let mut batch = BatchBuilder::default();
        batch.push(None, Some(&vec![b'x'; value]), &headers);
        batch.finish().len()
    };
    for limit in (110..400).chain(8200..8400).chain((1 << 20)..(1 << 20) + 140) {
        let room = value_room(limit, headers_length(&lengths));
        assert!(size(room) <= limit && size(room + 1) > limit, "{room} of {limit}");
    }
    assert_eq!(value_room(50, 0), 0);
}

#[test]
fn a_batch_of_ours_is_compressed_where_that_makes_it_shorter() {
    let built = |values: &[Vec<u8>]| {
        let mut builder = BatchBuilder::default();
        for value in values {
            builder.push(Some(b"key"), Some(value), &[("tx", b"0")]);
        }
        builder.finish()
    };
    let plain: Vec<Vec<u8>> =
        (0..1000).map(|n| format!("{{\"id\":\"{n}\",\"name\":\"pear\"}}").into_bytes()).collect();
    for compression in [Compression::Lz4, Compression::Zstd, Compression::Gzip, Compression::Snappy]
    {
        let mut wanted = built(&plain);
        let (mut packed, used) = built(&plain).compressed(compression);
        assert_eq!(used.as_deref(), Some(built(&plain).as_bytes()));
        assert!(packed.len() * 3 < wanted.len(), "{compression:?} {}", packed.len());
        for batch in [&mut wanted, &mut packed] {
            batch.seal(1_700_000_000_000);
            batch.set_base_offset(77);
        }
        let view = BatchView::parse(packed.as_bytes()).unwrap();
        assert_eq!((view.head().compression(), view.head().count), (compression, 1000));
        assert_eq!(*view.uncompressed().unwrap(), *wanted.as_bytes(), "{compression:?}");
    }
    let short = built(&[b"a".to_vec()]);
    assert_eq!(short.clone().compressed(Compression::Zstd), (short, None));
}
