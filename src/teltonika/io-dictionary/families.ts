/**
 * Model families: within one, an IO id of one width means one thing on every model's page.
 * FMB: FMB, FMC, FMM and the like; FM6: the 64x and 65x; FM63: FM63xx and FMB630 (codec 16);
 * FM36; FT: the FTC, FTM, ATC and ATM platform; TAT: battery trackers and e-mobility.
 */
export const ioFamilies = ['FMB', 'FM6', 'FM63', 'FM36', 'FT', 'TAT'] as const;

export type IoFamily = (typeof ioFamilies)[number];

/** The model whose page on wiki.teltonika-gps.com stands for its family. */
export const pageModels: Readonly<Record<IoFamily, string>> = {
  FMB: 'FMB120',
  FM6: 'FMC650',
  FM63: 'FM6300',
  FM36: 'FM36',
  FT: 'FTC305',
  TAT: 'TAT100',
};

/** The suffix of the pages' titles. */
export const pageTitles: Readonly<Record<IoFamily, string>> = {
  FMB: 'Teltonika Data Sending Parameters ID',
  FM6: 'Teltonika Data Sending Parameters ID',
  FM63: 'Teltonika Data Sending Parameters ID',
  FM36: 'AVL ID',
  FT: 'Teltonika Data Sending Parameters ID',
  TAT: 'AVL ID List',
};

/**
 * Every model that is known to use its family's table. FMB930 is in none: its page alone scales
 * id 66 by 0.01.
 */
export const familyModels: Readonly<Record<IoFamily, string>> = {
  FMB: `FM3001 FMB001 FMB002 FMB003 FMB010 FMB020 FMB110 FMB120 FMB122 FMB125 FMB130 FMB140
    FMB150 FMB202 FMB204 FMB206 FMB208 FMB209 FMB225 FMB230 FMB240 FMB900 FMB910 FMB920 FMB962
    FMB964 FMB965 FMC001 FMC003 FMC00A FMC125 FMC130 FMC13A FMC150 FMC225 FMC230 FMC234 FMC250
    FMC800 FMC880 FMC920 FMM001 FMM003 FMM00A FMM125 FMM130 FMM13A FMM150 FMM230 FMM250 FMM800
    FMM80A FMM880 FMM920 FMP100 FMT100 FMU125 FMU126 FMU130 MSP500 MTB100`,
  FM6: 'FMB640 FMB641 FMC640 FMC650 FMM640 FMM650',
  FM63: 'FM6300 FM6320 FMB630',
  FM36: 'FM36 FM3612 FM36M1',
  FT: `ATC700 ATC704 ATC774 ATM700 ATM704 FTC134 FTC164 FTC305 FTC308 FTC880 FTC881 FTC887 FTC920
    FTC921 FTC924 FTC927 FTC961 FTC965 FTM134 FTM164 FTM305 FTM308 FTM880 FTM887 FTM927`,
  TAT: 'GH5200 TAT100 TAT140 TAT141 TAT240 TFT100 TMT250 TST100',
};

export function modelsOf(family: IoFamily): readonly string[] {
  return familyModels[family].split(/\s+/);
}

export function isIoFamily(text: string): text is IoFamily {
  return ioFamilies.some((family) => family === text);
}

/** The family of a model's or a family's name, whatever its case; null when it is not known. */
export function familyOf(model: string): IoFamily | null {
  const name = model.trim().toUpperCase();
  if (isIoFamily(name)) return name;
  return ioFamilies.find((family) => modelsOf(family).includes(name)) ?? null;
}
