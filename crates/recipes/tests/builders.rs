//! What the builders write is what independent readers read.

use std::io::Read;
use wb_recipes::{Expected, Recipe};

fn build(body: &str) -> Vec<u8> {
    let head = "id = \"x\"\ntitle = \"\"\nsource = \"\"\nloader = \"\"\nexpected = \"harmless\"\n";
    let recipe = Recipe::parse(&format!("{head}{body}"), "x").expect("parses");
    assert_eq!(recipe.expected, Expected::Harmless);
    recipe.build().expect("builds").remove(0).1
}

fn read_all(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("decodes");
    text
}

#[test]
fn compressed_forms_decode() {
    let body = |kind: &str| build(&format!("[files.x]\n{kind}.text = \"hello hello hello\"\n"));
    let hello = "hello hello hello";
    assert_eq!(read_all(flate2::read::GzDecoder::new(body("gzip").as_slice())), hello);
    assert_eq!(read_all(flate2::read::ZlibDecoder::new(body("zlib").as_slice())), hello);
    assert_eq!(read_all(bzip2::read::BzDecoder::new(body("bzip2").as_slice())), hello);
    assert_eq!(read_all(lzma_rust2::XzReader::new(body("xz").as_slice(), false)), hello);
    let lzma = body("lzma");
    assert_eq!(
        read_all(lzma_rust2::LzmaReader::new_mem_limit(lzma.as_slice(), u32::MAX, None).expect("a header")),
        hello
    );
    assert_eq!(read_all(lz4_flex::frame::FrameDecoder::new(body("lz4").as_slice())), hello);
    let zf = body("joblib-zf");
    assert_eq!(&zf[..21], b"ZF0x11               ");
    assert_eq!(read_all(flate2::read::ZlibDecoder::new(&zf[21..])), hello);
}

#[test]
fn tar_members_keep_their_kind_and_long_names() {
    let long = "d/".repeat(80) + "x";
    let bytes = build(&format!(
        "[files.x]\ntar.gnu = true\ntar.members = [{{ name = \"{long}\", data = {{ text = \"a\" }} }}, {{ name = \"l\", type = \"symlink\", link = \"/etc\" }}]\n"
    ));
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut entries = archive.entries().expect("reads").map(|e| e.expect("a sound header"));
    let first = entries.next().expect("two members");
    assert_eq!(first.path().expect("a path").to_string_lossy(), long);
    let second = entries.next().expect("two members");
    assert_eq!(second.link_name().expect("a link").expect("a target").to_string_lossy(), "/etc");
    assert!(second.header().entry_type().is_symlink() && entries.next().is_none());
}

#[test]
fn a_zip_lies_only_where_it_is_told_to() {
    let zip =
        |lie: &str| build(&format!("[[files.x.zip.entries]]\nname = \"a\"\ndata.text = \"abc\"\n{lie}"));
    let honest = zip("");
    assert_eq!(&honest[14..18], crc32fast::hash(b"abc").to_le_bytes());
    let lying = zip("crc = 1\nlocal_name = \"b\"\nlocal_flags = 64\n");
    assert_eq!(
        (lying.len(), &lying[14..18], lying[30], lying[6]),
        (honest.len(), &[1, 0, 0, 0][..], b'b', 64)
    );
    let central = lying.windows(4).position(|w| w == b"PK\x01\x02").expect("a central directory");
    assert_eq!((lying[central + 46], lying[central + 8]), (b'a', 0));
    let unlisted = zip("listed = false\n");
    assert!(!unlisted.windows(4).any(|w| w == b"PK\x01\x02"));
}

#[test]
fn npy_and_gguf_headers_follow_their_formats() {
    let npy = build("[files.x]\nnpy.header = \"{'descr': '<f4'}\"\nnpy.data.f32 = [1.0]\n");
    assert_eq!((&npy[..8], npy.len() % 64, npy[63]), (&b"\x93NUMPY\x01\0"[..], 4, b'\n'));
    let kv = "[files.x]\ngguf.kv = [[\"k\", \"array of u8\", [1, 2]]]\n";
    let expected = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0k\x09\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01\x02";
    let gguf = build(kv);
    assert_eq!((&gguf[..expected.len()], gguf.len() % 32), (&expected[..], 0));
    let big = build(&format!("{kv}gguf.big_endian = true\n"));
    assert_eq!(&big[4..8], [0, 0, 0, 3]);
}

#[test]
fn mistakes_in_recipes_are_errors() {
    let parse = |text: &str| Recipe::parse(text, "x");
    let head = "id = \"x\"\ntitle = \"\"\nsource = \"\"\nloader = \"\"\n";
    assert!(parse(&format!("{head}expected = \"malicious\"\n[files.x]\ntext = \"\"\n")).is_err(), "no twin");
    assert!(parse(&format!("{head}expected = \"harmless\"\n[files]\n")).is_err(), "no file");
    let stale = format!(
        "{head}expected = \"malicious\"\n[files.x]\ntext = \"a\"\n[twin]\nreplace = [[\"b\", \"c\"]]\n"
    );
    assert!(parse(&stale).expect("parses").twin().is_err(), "a replacement that does not apply");
    let cycle = format!("{head}expected = \"harmless\"\n[files.x]\npart = \"a\"\n[parts.a]\npart = \"a\"\n");
    assert!(parse(&cycle).expect("parses").build().is_err(), "a part that holds itself");
    let unknown = format!("{head}expected = \"harmless\"\n[files.x]\nnonsense = \"a\"\n");
    assert!(parse(&unknown).expect("parses").build().is_err(), "an unknown way");
}
