//! The character sets of MySQL and MariaDB, by name and by collation.
//!
//! Only names and numbers: what their bytes mean is `binlog::charset`. The numbers are those of
//! `information_schema.collations` of MySQL 9.7 and MariaDB 10.11; a collation's number never
//! changes its meaning, new ones are only added.

/// Declares the enum, its names and the list of all together, so that none can miss a member.
macro_rules! charsets {
    ($($variant:ident $name:literal $max_bytes:literal,)*) => {
        /// A character set of a column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is the server's name for it, see `name`")]
        pub enum Charset { $($variant,)* }

        impl Charset {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The server's name for it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The most bytes a character takes (`maxlen` of `information_schema.character_sets`):
            /// the declared length of a column in the binlog is its characters times this.
            pub const fn max_char_bytes(self) -> u16 {
                match self { $(Self::$variant => $max_bytes,)* }
            }
        }
    };
}

charsets! {
    ArmScii8 "armscii8" 1,
    Ascii "ascii" 1,
    Big5 "big5" 2,
    Binary "binary" 1,
    Cp1250 "cp1250" 1,
    Cp1251 "cp1251" 1,
    Cp1256 "cp1256" 1,
    Cp1257 "cp1257" 1,
    Cp850 "cp850" 1,
    Cp852 "cp852" 1,
    Cp866 "cp866" 1,
    Cp932 "cp932" 2,
    Dec8 "dec8" 1,
    EucJpMs "eucjpms" 3,
    EucKr "euckr" 2,
    Gb18030 "gb18030" 4,
    Gb2312 "gb2312" 2,
    Gbk "gbk" 2,
    GeoStd8 "geostd8" 1,
    Greek "greek" 1,
    Hebrew "hebrew" 1,
    Hp8 "hp8" 1,
    KeyBcs2 "keybcs2" 1,
    Koi8R "koi8r" 1,
    Koi8U "koi8u" 1,
    Latin1 "latin1" 1,
    Latin2 "latin2" 1,
    Latin5 "latin5" 1,
    Latin7 "latin7" 1,
    MacCe "macce" 1,
    MacRoman "macroman" 1,
    Sjis "sjis" 2,
    Swe7 "swe7" 1,
    Tis620 "tis620" 1,
    Ucs2 "ucs2" 2,
    Ujis "ujis" 3,
    Utf16 "utf16" 4,
    Utf16Le "utf16le" 4,
    Utf32 "utf32" 4,
    Utf8Mb3 "utf8mb3" 3,
    Utf8Mb4 "utf8mb4" 4,
}

impl Charset {
    /// Whether the servers take the no-break space, where a statement is in this character set,
    /// for a blank between words. Each byte of each one was tried on a MySQL 9.7 and a MariaDB
    /// 10.11 server (`my_isspace` by the tables in strings/ctype-*.c).
    pub fn has_wide_blank(self) -> bool {
        use Charset as C;
        matches!(
            self,
            C::ArmScii8
                | C::Cp1250
                | C::Cp852
                | C::Cp866
                | C::Dec8
                | C::GeoStd8
                | C::Greek
                | C::Hebrew
                | C::KeyBcs2
                | C::Latin1
                | C::Latin2
                | C::Latin5
                | C::Latin7
        )
    }

    /// By the server's name, in any case; `utf8` is utf8mb3, as in every server whose `utf8`
    /// is not configured otherwise.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utf8") {
            return Some(Self::Utf8Mb3);
        }
        Self::ALL.iter().copied().find(|charset| charset.name().eq_ignore_ascii_case(name))
    }

    /// By the number of a collation, as table maps and QUERY events carry it.
    pub const fn from_collation(id: u32) -> Option<Self> {
        // MariaDB numbers the NO PAD twin of an older collation 1024 higher
        // (`MY_NOPAD_ID`, include/m_ctype.h), and its UCA 14.0.0 collations from 2048 on in
        // blocks of 256 a character set (`my_uca1400_collation_id`, strings/ctype-uca1400.h).
        let id = match id {
            1025..=1998 => id - 1024,
            _ => id,
        };
        Some(match id {
            1 | 84 => Self::Big5,
            2 | 9 | 21 | 27 | 77 => Self::Latin2,
            3 | 69 => Self::Dec8,
            4 | 80 => Self::Cp850,
            5 | 8 | 15 | 31 | 47..=49 | 94 => Self::Latin1,
            6 | 72 => Self::Hp8,
            7 | 74 => Self::Koi8R,
            10 | 82 => Self::Swe7,
            11 | 65 => Self::Ascii,
            12 | 91 => Self::Ujis,
            13 | 88 => Self::Sjis,
            14 | 23 | 50..=52 => Self::Cp1251,
            16 | 71 => Self::Hebrew,
            18 | 89 => Self::Tis620,
            19 | 85 => Self::EucKr,
            20 | 41 | 42 | 79 => Self::Latin7,
            22 | 75 => Self::Koi8U,
            24 | 86 => Self::Gb2312,
            25 | 70 => Self::Greek,
            26 | 34 | 44 | 66 | 99 => Self::Cp1250,
            28 | 87 => Self::Gbk,
            29 | 58 | 59 => Self::Cp1257,
            30 | 78 => Self::Latin5,
            32 | 64 => Self::ArmScii8,
            33 | 76 | 83 | 192..=223 | 576..=578 | 2048..=2303 => Self::Utf8Mb3,
            35 | 90 | 128..=159 | 640..=642 | 2560..=2815 => Self::Ucs2,
            36 | 68 => Self::Cp866,
            37 | 73 => Self::KeyBcs2,
            38 | 43 => Self::MacCe,
            39 | 53 => Self::MacRoman,
            40 | 81 => Self::Cp852,
            45 | 46 | 224..=247 | 255..=400 | 608..=610 | 2304..=2559 => Self::Utf8Mb4,
            54 | 55 | 101..=124 | 672..=674 | 2816..=3071 => Self::Utf16,
            56 | 62 => Self::Utf16Le,
            57 | 67 => Self::Cp1256,
            60 | 61 | 160..=183 | 736..=738 | 3072..=3327 => Self::Utf32,
            63 => Self::Binary,
            92 | 93 => Self::GeoStd8,
            95 | 96 => Self::Cp932,
            97 | 98 => Self::EucJpMs,
            248..=250 => Self::Gb18030,
            _ => return None,
        })
    }
}
