/* The outline of a sound, as far as this browser can decode it. */

export const PEAKS_PER_S = 10;
const MOST_DECODED_BYTES = 40e6; // beyond it, decoding takes a phone's memory; the service sends the outline with each second

/** The outline of a sound file, as far as this browser can decode it; null if it cannot. */
export async function outline(file) {
  if (file.size > MOST_DECODED_BYTES) return null;
  try {
    const sound = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
    const step = sound.sampleRate / PEAKS_PER_S;
    const peaks = new Float32Array(Math.ceil(sound.length / step));
    for (let i = 0; i < sound.length; i++) {
      let sample = 0;
      for (const channel of channels) sample += channel[i];
      const peak = Math.floor(i / step);
      peaks[peak] = Math.max(peaks[peak], Math.abs(sample) / channels.length);
    }
    return peaks;
  } catch {
    return null;
  }
}
