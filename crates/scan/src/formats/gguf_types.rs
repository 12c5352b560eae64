//! Tensor types of GGML: elements and bytes of a block.
//!
//! `ggml.h` / `ggml.c` (`type_traits`) of llama.cpp; retired ids keep the layout they had.

/// Elements a block and bytes a block of tensor type `id`.
pub(super) fn block(id: u32) -> Option<(u64, u64)> {
    Some(match id {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        2 | 20 | 31..=33 | 36..=38 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        24 => (1, 1),
        27 | 28 => (1, 8),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        40 => (64, 36),
        _ => return None,
    })
}
