//! The negative natural logarithm of a draw, in integers only.
//!
//! Weighted rendezvous compares `-ln(u) / weight` between servers. Floating point may differ between machines and library
//! versions, and a director that decides differently from its peer moves sessions; so this is a committed table and integer
//! arithmetic, the same bits everywhere. Knows nothing of servers, keys or weights.

/// `ln 2` in units of 2^-64.
const LN_2: u128 = 0xb172_17f7_d1cf_79ac;

/// Entry `i` is `ln(1 + i / 256)` in units of 2^-64, rounded to the nearest.
#[rustfmt::skip]
const LN_OF_STEP: [u64; 256] = [
    0x0000_0000_0000_0000, 0x00ff_8055_1588_5e02, 0x01fe_02a6_b106_7890, 0x02fb_88eb_f021_4edc,
    0x03f8_1516_1f80_7c7a, 0x04f3_a910_d1a9_5d3c, 0x05ee_46c1_f56c_46aa, 0x06e7_f009_ebe4_65ff,
    0x07e0_a6c3_9e0c_c013, 0x08d8_6cc4_91ec_bfe1, 0x09cf_43dc_ff5e_afd5, 0x0ac5_2dd7_e472_6a46,
    0x0bba_2c7b_196e_7e23, 0x0cae_4187_6471_f5bf, 0x0da1_6eb8_8cb8_df61, 0x0e93_b5c5_6d85_a909,
    0x0f85_1860_08b1_5331, 0x1075_9835_98e4_7130, 0x1165_36ee_a37a_e0e8, 0x1253_f62f_0a14_16f9,
    0x1341_d796_1bd1_d093, 0x142e_dcbe_a646_f03c, 0x151b_073f_0618_3f69, 0x1606_58a9_3750_c3b2,
    0x16f0_d28a_e56b_4b9c, 0x17da_766d_7b12_cc84, 0x18c3_45d6_319b_20f6, 0x19ab_4246_2033_acdc,
    0x1a92_6d3a_4ad5_6365, 0x1b78_c82b_b0ed_a108, 0x1c5e_548f_5bc7_4316, 0x1d43_13d6_6cb3_5d5e,
    0x1e27_076e_2af2_e5ea, 0x1f0a_30c0_1162_a661, 0x1fec_9131_dbea_baaa, 0x20ce_2a25_94b2_dc54,
    0x21ae_fcf9_a11c_b2cd, 0x228f_0b08_ce85_58d1, 0x236e_55aa_5ecf_4052, 0x244c_de32_14b5_96fb,
    0x252a_a5f0_3fea_4698, 0x2607_ae31_c8ff_a5fd, 0x26e3_f840_3d1e_e878, 0x27bf_8561_d98c_5395,
    0x289a_56d9_96fa_3cd0, 0x2974_6de7_34ab_cab4, 0x2a4d_cbc7_4368_6f46, 0x2b26_71b3_3041_0ba7,
    0x2bfe_60e1_4f27_a791, 0x2cd5_9a84_e55a_a1be, 0x2dac_1fce_33a4_391b, 0x2e81_f1ea_806f_4993,
    0x2f57_1204_21b2_1238, 0x302b_8142_86af_d5ad, 0x30ff_40ca_4192_2120, 0x31d2_51bd_10da_8155,
    0x32a4_b539_e8ad_68ed, 0x3376_6c5c_fbf7_06ac, 0x3447_783f_c56a_c632, 0x3517_d9f9_105e_3186,
    0x35e7_929d_017f_e5b2, 0x36b6_a33d_1f6b_48dd, 0x3785_0ce8_5b19_ac54, 0x3852_d0ab_1831_8146,
    0x391f_ef8f_3534_4358, 0x39ec_6a9c_138b_b892, 0x3ab8_42d6_9f77_22b7, 0x3b83_7941_57d8_fac2,
    0x3c4e_0edc_55e5_cbd4, 0x3d18_04a5_54b4_bfd2, 0x3de1_5b97_b8b2_6ca4, 0x3eaa_14ac_96f6_6e0e,
    0x3f72_30da_bc7c_551b, 0x4039_b116_b540_731a, 0x4100_9652_d341_036c, 0x41c6_e17f_3564_3474,
    0x428c_9389_ce43_8d7e, 0x4351_ad5e_6add_2c82, 0x4416_2fe6_b92b_5462, 0x44da_1c0a_4ea2_c17b,
    0x459d_72ae_ae98_380e, 0x4660_34b7_508d_bd9d, 0x4722_6305_a667_ebef, 0x47e3_fe79_228b_ca36,
    0x48a5_07ef_3de5_9689, 0x4965_8043_7dd8_e7bc, 0x4a25_684f_7a1a_8d7b, 0x4ae4_c0ea_e274_9277,
    0x4ba3_8aeb_8474_c271, 0x4c61_c725_5106_13eb, 0x4d1f_766a_61f5_5359, 0x4ddc_998a_ff61_6bc9,
    0x4e99_3155_a517_a71d, 0x4f55_3e97_07dc_3e1d, 0x5010_c21a_1a9f_8ef4, 0x50cb_bca8_13a0_4ed6,
    0x5186_2f08_717b_09f4, 0x5240_1a01_0027_4330, 0x52f9_7e55_dde2_836d, 0x53b2_5cc9_8009_a6bd,
    0x546a_b61c_b7e0_b427, 0x5522_8b0e_b749_8b3f, 0x55d9_dc5d_1569_b152, 0x5690_aac3_d33f_8671,
    0x5746_f6fd_6027_2942, 0x57fc_c1c2_9e4f_4f22, 0x58b2_0bca_e71e_54be, 0x5966_d5cc_0f87_ca07,
    0x5a1b_207a_6c52_bb11, 0x5ace_ec88_d650_f625, 0x5b82_3aa8_ae87_8e30, 0x5c35_0b89_e248_d757,
    0x5ce7_5fda_ef40_1a74, 0x5d99_3848_e76f_3b05, 0x5e4a_957f_751e_89f0, 0x5efb_7828_debe_fe78,
    0x5fab_e0ee_0abf_0d93, 0x605b_d076_8352_56d7, 0x610b_4768_7a2c_5d25, 0x61ba_4668_cc2e_8028,
    0x6268_ce1b_0509_6ad7, 0x6316_df21_62d2_2a1f, 0x63c4_7a1c_d98b_1df8, 0x6471_9fad_16a0_f61f,
    0x651e_5070_845b_eae9, 0x65ca_8d04_4d45_61a6, 0x6676_5604_5f82_2b2f, 0x6721_ac0b_7021_8a6f,
    0x67cc_8fb2_fe61_2fcb, 0x6877_0193_56e6_5590, 0x6921_0243_96ec_28b0, 0x69ca_9259_af67_a85b,
    0x6a73_b26a_6821_2635, 0x6b1c_6309_62c3_9030, 0x6bc4_a4c9_1de1_ac45, 0x6c6c_783a_f7f1_6da4,
    0x6d13_ddef_323d_8a33, 0x6dba_d674_f3cd_7675, 0x6e61_625a_4c43_ed66, 0x6f07_822c_36b4_290a,
    0x6fad_3676_9c6d_efde, 0x7052_7fc4_57c0_9ab3, 0x70f7_5e9f_36b5_35cf, 0x719b_d38f_fdbf_df9f,
    0x723f_df1e_6a68_86b1, 0x72e3_81d1_35eb_27f6, 0x7386_bc2e_17cf_adee, 0x7429_8eb9_c879_9095,
    0x74cb_f9f8_03af_5587, 0x756d_fe6b_8b1a_0f2c, 0x760f_9c96_28bc_f941, 0x76b0_d4f8_b165_508c,
    0x7751_a813_0712_82fc, 0x77f2_1664_1b56_d502, 0x7892_2069_f1b0_9873, 0x7931_c6a1_a1dc_10b3,
    0x79d1_0987_5a1e_1f8e, 0x7a6f_e996_6187_d592, 0x7b0e_6749_1a33_005d, 0x7bac_8319_0377_d0d6,
    0x7c4a_3d7e_bc1b_b2cd, 0x7ce7_96f2_0479_6f34, 0x7d84_8fe9_c0a2_b185, 0x7e21_28db_fa7b_08b2,
    0x7ebd_623d_e3cc_7b67, 0x7f59_3c83_d855_c729, 0x7ff4_b821_5fd2_6156, 0x808f_d589_2ffc_50c1,
    0x812a_952d_2e87_f635, 0x81c4_f77e_7319_d9e1, 0x825e_fced_4936_9330, 0x82f8_a5e9_322c_e055,
    0x8391_f2e0_e6fa_0273, 0x842a_e442_5a28_72e1, 0x84c3_7a7a_b9a9_05c9, 0x855b_b5f6_70a6_8e03,
    0x85f3_9721_2954_15b5, 0x868b_1e65_ceb5_bf04, 0x8722_4c2e_8e64_5fb7, 0x87b9_20e4_da4b_ea75,
    0x884f_9cf1_6a64_b7ef, 0x88e5_c0bc_3e67_c204, 0x897b_8cac_9f7d_e298, 0x8a11_0129_21ea_2795,
    0x8aa6_1e97_a6af_4d4c, 0x8b3a_e55d_5d30_701d, 0x8bcf_55de_c4cd_05fe, 0x8c63_707f_ae78_305e,
    0x8cf7_35a3_3e4b_7663, 0x8d8a_a5ab_ed14_f77f, 0x8e1d_c0fb_89e1_25e5, 0x8eb0_87f3_3b80_1842,
    0x8f42_faf3_8206_81ef, 0x8fd5_1a5c_384a_6060, 0x9066_e68c_955b_6c9b, 0x90f8_5fe3_2df7_5f0f,
    0x9189_86bd_f5fa_1417, 0x921a_5b7a_41c9_9f11, 0x92aa_de74_c7be_59e0, 0x933b_1009_a186_fe69,
    0x93ca_f094_4d88_d75c, 0x945a_806f_b03c_1578, 0x94e9_bff6_1584_5643, 0x9578_af81_3205_68e6,
    0x9607_4f6a_2474_5dcc, 0x9695_a009_76e4_ed5e, 0x9723_a1b7_2013_4203, 0x97b1_54ca_84aa_316c,
    0x983e_b99a_7885_f0fe, 0x98cb_d07d_3ff3_50eb, 0x9958_99c8_90eb_8990, 0x99e5_15d1_944c_a641,
    0x9a71_44ec_e70e_98b7, 0x9afd_276e_9b75_0012, 0x9b88_bdaa_3a3d_ae2f, 0x9c14_07f2_c3cb_f5fd,
    0x9c9f_069a_b150_cd4e, 0x9d29_b9f3_f5ef_cc65, 0x9db4_224f_ffe1_157c, 0x9e3e_3fff_b990_2e41,
    0x9ec8_1353_8ab7_d520, 0x9f51_9c9b_597a_dc1f, 0x9fda_dc26_8b7a_12da, 0xa063_d244_06e7_4915,
    0xa0ec_7f42_3395_7323, 0xa174_e36e_fc05_f965, 0xa1fc_ff17_ce73_3bd4, 0xa284_d289_9dd8_5282,
    0xa30c_5e10_e2f6_13e8, 0xa393_a1f9_9d55_698d, 0xa41a_9e8f_5446_fb9f, 0xa4a1_541d_17e0_3bda,
    0xa527_c2ed_81f5_d811, 0xa5ad_eb4a_b713_9c6f, 0xa633_cd7e_6771_cd8b, 0xa6b9_69d1_cfe8_023a,
    0xa73e_c08d_badd_84e6, 0xa7c3_d1fa_8137_442e, 0xa848_9e60_0b43_5a5e, 0xa8cd_2605_d1a2_3336,
    0xa951_6932_de2d_5774, 0xa9d5_682d_ccdb_e554, 0xaa59_233c_cca4_bd49, 0xaadc_9aa5_a05e_69e4,
    0xab5f_cead_9f9c_ca09, 0xabe2_bf99_b78c_842d, 0xac65_6dae_6bcc_4985, 0xace7_d92f_d743_efba,
    0xad6a_0261_acf9_67d9, 0xadeb_e987_38e3_98e0, 0xae6d_8ee3_60bb_2468, 0xaeee_f2b8_a4c9_1bba,
    0xaf70_1549_20b3_ab87, 0xaff0_f6d6_8c48_c46b, 0xb071_97a2_3c46_c654, 0xb0f1_f7ed_2323_34bd,
];

/// `-ln((draw + 1) / 2^64)` in units of 2^-64: below 2^70, 0 for the highest draw, and never off by more than a few units.
///
/// The quotient is split into a power of two, one of 256 steps (from the table) and a rest below 1/256, whose series ends after
/// seven terms because the eighth is below one unit.
pub(super) fn negative_ln(draw: u64) -> u128 {
    let Some(uniform) = draw.checked_add(1) else {
        return 0;
    };
    let halvings = uniform.leading_zeros();
    // 1.63 fixed point, 1 to 2.
    let mantissa = uniform << halvings;
    let step = (mantissa >> 55) & 0xff;
    // (mantissa - step) / step, in units of 2^-64. The step is (256 + step) << 55, so that the division stays in 64 bits.
    let rest = ((mantissa & ((1 << 55) - 1)) << 9) / (256 + step);
    let ln_of_mantissa = u128::from(LN_OF_STEP[usize::from(step as u8)]) + u128::from(ln_of_one_plus(rest));
    (u128::from(halvings + 1) * LN_2).saturating_sub(ln_of_mantissa)
}

/// `ln(1 + rest)` for a rest below 1/256; both in units of 2^-64.
fn ln_of_one_plus(rest: u64) -> u64 {
    let second = multiply(rest, rest);
    let third = multiply(second, rest);
    let fourth = multiply(second, second);
    let fifth = multiply(third, second);
    let sixth = multiply(third, third);
    let seventh = multiply(fourth, third);
    (rest + third / 3 + fifth / 5 + seventh / 7) - (second / 2 + fourth / 4 + sixth / 6)
}

/// The product of two fractions in units of 2^-64, rounded down.
fn multiply(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ln(numerator / denominator)` for a quotient of 1 to 2, in units of 2^-100, by the series of the inverse hyperbolic
    /// tangent: a way to the same number that shares nothing with the table.
    fn ln_by_series(numerator: u128, denominator: u128) -> u128 {
        let (difference, sum) = (numerator - denominator, numerator + denominator);
        let mut power = (difference << 100) / sum;
        let mut total = 0;
        for odd in (1..200).step_by(2) {
            total += 2 * power / odd;
            power = power * difference / sum * difference / sum;
        }
        total
    }

    #[test]
    fn every_entry_of_the_table_is_the_logarithm_it_says() {
        for (step, entry) in (0_u128..).zip(LN_OF_STEP) {
            assert_eq!((ln_by_series(256 + step, 256) + (1 << 35)) >> 36, u128::from(entry), "step {step}");
        }
        assert_eq!((ln_by_series(2, 1) + (1 << 35)) >> 36, LN_2);
    }

    #[test]
    fn it_agrees_with_floating_point_over_the_whole_range() {
        let unit = 2_f64.powi(-64);
        let mut draw = u64::MAX;
        while draw > 0 {
            for near in [draw, draw - draw / 3, !draw] {
                let expected = -((near as f64 + 1.0) * unit).ln();
                let got = negative_ln(near) as f64 * unit;
                assert!((got - expected).abs() <= 1e-14 * expected.max(1.0), "{near:#x}: {got} for {expected}");
            }
            draw >>= 1;
        }
    }

    #[test]
    fn it_never_rises_with_the_draw_even_where_the_steps_meet() {
        for step in 0..256_u64 {
            let edge = (256 + step) << 55;
            let around: Vec<u128> =
                [edge - (1 << 20), edge - 2, edge - 1, edge, edge + (1 << 20)].map(negative_ln).into();
            assert!(around.is_sorted_by(|a, b| *a + 8 >= *b), "step {step}: {around:?}");
            assert!(around[0] > around[4], "step {step}: {around:?}");
        }
    }

    #[test]
    fn the_ends_are_zero_and_sixty_four_halvings() {
        assert_eq!(negative_ln(u64::MAX), 0);
        assert_eq!(negative_ln(0), 64 * LN_2);
        assert!(negative_ln(0) < 1 << 70);
    }

    /// What the shortcut between classes rests on, with its margin of 16 units.
    #[test]
    fn it_is_never_below_its_tangent() {
        for number in 0..100_000_u64 {
            let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for draw in [spread, spread | !0 << 40, u64::MAX - (spread >> (number % 64))] {
                assert!(negative_ln(draw) + 16 > u128::from(!draw), "{draw:#x}");
            }
        }
    }
}
