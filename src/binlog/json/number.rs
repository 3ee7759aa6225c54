//! Doubles as the server prints them in JSON.

/// Powers of ten up to which the server prints no exponent (`MAX_DECPT_FOR_F_FORMAT`, `DBL_DIG`).
const PLAIN: i32 = 15;

/// Appends a double as the server does: the shortest digits that read back the same; plain
/// between 1e-14 and 1e15, else with an exponent (`my_gcvt`, strings/dtoa.cc); with `.0` behind
/// an integer, so that it stays a double (`Json_wrapper::to_string`, sql-common/json_dom.cc).
pub fn write_server_double(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null"); // no server stores one
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let mut digits = [0; 17];
    let (count, point) = shortest_digits(value.abs(), &mut digits);
    let digits = digits.get(..count).unwrap_or_default();
    let after_integer = i32::try_from(count).unwrap_or(0) > point;
    if point > -PLAIN && (point <= PLAIN || after_integer) {
        write_plain(digits, point, out);
    } else {
        write_scientific(digits, point - 1, out);
    }
}

/// The shortest digits of a positive number and where the point is: 0.d1d2d3... * 10^point.
fn shortest_digits(value: f64, digits: &mut [u8; 17]) -> (usize, i32) {
    if value == 0.0 {
        *digits.first_mut().unwrap_or(&mut 0) = b'0';
        return (1, 1);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    let (mut count, mut point, mut exponent) = (0, 0_i32, 0_i32);
    let mut seen_point = false;
    let mut bytes = text.iter();
    for byte in bytes.by_ref() {
        match byte {
            b'.' => seen_point = true,
            b'e' => break,
            digit => {
                if count > 0 || *digit != b'0' {
                    if let Some(slot) = digits.get_mut(count) {
                        *slot = *digit;
                        count += 1;
                    }
                    point += i32::from(!seen_point);
                } else {
                    // a zero before the first digit that counts
                    point -= i32::from(seen_point);
                }
            }
        }
    }
    let mut negative = false;
    for byte in bytes {
        match byte {
            b'-' => negative = true,
            b'+' => {}
            digit => exponent = exponent * 10 + i32::from(digit - b'0'),
        }
    }
    point += if negative { -exponent } else { exponent };
    while count > 1 && digits.get(count - 1) == Some(&b'0') {
        count -= 1;
    }
    (count, point)
}

fn write_plain(digits: &[u8], point: i32, out: &mut Vec<u8>) {
    let before = usize::try_from(point).unwrap_or(0);
    if before == 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-point).unwrap_or(0)));
        out.extend_from_slice(digits);
    } else if let Some((integer, fraction)) = digits.split_at_checked(before)
        && !fraction.is_empty()
    {
        out.extend_from_slice(integer);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', before - digits.len().min(before)));
        out.extend_from_slice(b".0");
    }
}

fn write_scientific(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let (first, rest) = digits.split_at_checked(1).unwrap_or_default();
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.push(b'e');
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}
